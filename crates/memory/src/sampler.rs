//! The only thread of this crate: it reads the machine again and again, and at once when the kernel
//! tells of stall.
//!
//! Polling alone would do, and does where there is no trigger: the trigger only shortens the time
//! until the ledger notices.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::trigger::Trigger;
use crate::{Error, Ledger};

/// The running sampler. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub struct Sampler {
    stop: std::sync::Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Starts the thread that reads the machine every `Config::sample_every` (`idle_sample_every`
    /// while nothing is leased) and whenever the kernel tells of pressure.
    ///
    /// # Errors
    /// [`Error::Sampler`] if there is no descriptor or thread to be had.
    pub fn try_spawn_sampler(&self) -> Result<Sampler, Error> {
        let stop =
            eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| Error::Sampler(errno.into()))?;
        let stop = std::sync::Arc::new(stop);
        let (ledger, stopped) = (self.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("memory-sampler".to_owned())
            .stack_size(256 << 10)
            .spawn(move || run_on(&ledger, &stopped))
            .map_err(Error::Sampler)?;
        Ok(Sampler {
            stop,
            thread: Some(thread),
        })
    }
}

/// Begins anew after a panic: without a sampler the server would go on with a figure that no one
/// renews.
fn run_on(ledger: &Ledger, stop: &OwnedFd) {
    while catch_unwind(AssertUnwindSafe(|| run(ledger, stop))).is_err() {
        tracing::error!(
            "reading the machine's memory crashed and is begun again; uploads go on; please report this"
        );
        // One that panics at each reading must not fill the log.
        std::thread::sleep(ledger.config().sample_every);
    }
}

fn run(ledger: &Ledger, stop: &OwnedFd) {
    let config = ledger.config();
    let mut trigger = arm(ledger);
    loop {
        let every = if ledger.inner().is_busy() {
            config.sample_every
        } else {
            config.idle_sample_every
        };
        match wait(stop, trigger.as_ref(), every) {
            Ok(Woken::Stop) => return,
            Ok(Woken::Time) => ledger.sample(),
            Ok(Woken::Stall) => ledger.inner().pressure_trigger(),
            Ok(Woken::TriggerGone) => {
                tracing::debug!(
                    "the pressure trigger is gone, stall is seen by polling from now on"
                );
                trigger = None;
                ledger.sample();
            }
            Err(error) => {
                tracing::error!(%error, "the machine's memory can't be watched any more and is read only when needed; uploads go on; restart the server when it suits");
                return;
            }
        }
    }
}

/// The trigger, where there is one to be had.
fn arm(ledger: &Ledger) -> Option<Trigger> {
    let path = ledger.inner().pressure_file()?;
    Trigger::arm(&path, ledger.config())
        .inspect_err(|error| {
            tracing::debug!(path = %path.display(), %error, "no pressure trigger, stall is seen by polling");
        })
        .ok()
}

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Woken {
    Stop,
    Time,
    Stall,
    TriggerGone,
}

fn wait(stop: &OwnedFd, trigger: Option<&impl AsFd>, every: Duration) -> io::Result<Woken> {
    let timeout = Timespec::try_from(every).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
    fds.extend(trigger.map(|trigger| PollFd::new(trigger, PollFlags::PRI)));
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Woken::Time),
        Err(errno) => return Err(errno.into()),
    }
    if fds[0].revents().contains(PollFlags::IN) {
        return Ok(Woken::Stop);
    }
    let told = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
    // A trigger whose group was removed tells both: it must not be taken for stall, and would be
    // told again and again.
    if told.intersects(PollFlags::ERR | PollFlags::NVAL | PollFlags::HUP) {
        return Ok(Woken::TriggerGone);
    }
    Ok(if told.contains(PollFlags::PRI) {
        Woken::Stall
    } else {
        Woken::Time
    })
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // Writing to an eventfd fails only when its counter is full, and then it is readable as
        // well.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const FOREVER: Duration = Duration::from_secs(600);

    fn never_stopped() -> OwnedFd {
        eventfd(0, EventfdFlags::CLOEXEC).unwrap()
    }

    /// Tells of each reading, and has a file for a trigger.
    struct Told {
        read: std::sync::mpsc::Sender<()>,
        pressure: std::path::PathBuf,
    }

    impl crate::Source for Told {
        fn read(&mut self) -> Result<crate::Reading, crate::ProbeError> {
            let _ = self.read.send(());
            let mut reading = crate::Reading::default();
            reading.host.total_bytes = 1 << 30;
            reading.host.available_bytes = 1 << 30;
            Ok(reading)
        }

        fn pressure_file(&self) -> Option<std::path::PathBuf> {
            Some(self.pressure.clone())
        }
    }

    #[test]
    fn a_running_sampler_arms_the_trigger_reads_again_and_again_and_ends_when_dropped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (read, told) = std::sync::mpsc::channel();
        let source = Told {
            read,
            pressure: file.path().to_owned(),
        };
        let config = crate::Config {
            sample_every: Duration::from_millis(1),
            idle_sample_every: Duration::from_millis(1),
            ..crate::Config::default()
        };
        let ledger = Ledger::open(config, Box::new(source)).unwrap();
        let sampler = ledger.try_spawn_sampler().unwrap();
        for _ in 0..5 {
            told.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        let order = std::fs::read(file.path()).unwrap();
        assert_eq!(order, b"some 150000 2000000\0");
        drop(sampler);
        // Its thread held the last other handle of the source.
        drop(ledger);
        while told.recv().is_ok() {}
    }

    /// Panics at its second reading.
    struct Broken {
        read: std::sync::mpsc::Sender<()>,
        count: u32,
    }

    impl crate::Source for Broken {
        fn read(&mut self) -> Result<crate::Reading, crate::ProbeError> {
            self.count += 1;
            assert!(self.count != 2, "this panic belongs to the test");
            let _ = self.read.send(());
            let mut reading = crate::Reading::default();
            reading.host.total_bytes = 1 << 30;
            reading.host.available_bytes = 1 << 30;
            Ok(reading)
        }
    }

    #[test]
    fn a_sampler_that_panics_begins_anew() {
        let (read, told) = std::sync::mpsc::channel();
        let config = crate::Config {
            sample_every: Duration::from_millis(1),
            idle_sample_every: Duration::from_millis(1),
            ..crate::Config::default()
        };
        let ledger = Ledger::open(config, Box::new(Broken { read, count: 0 })).unwrap();
        let sampler = ledger.try_spawn_sampler().unwrap();
        for _ in 0..5 {
            told.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        drop(sampler);
    }

    #[test]
    fn an_exceptional_condition_is_stall() {
        // Urgent data of a socket is the one other thing that poll reports as PRI.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        rustix::net::send(&sender, b"!", rustix::net::SendFlags::OOB).unwrap();
        let woken = wait(&never_stopped(), Some(&receiver), FOREVER).unwrap();
        assert_eq!(woken, Woken::Stall);
    }

    #[test]
    fn a_trigger_in_error_is_gone_and_no_stall() {
        // A pipe that is not read is in error for its writer, as a trigger is whose group was
        // removed.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let woken = wait(&never_stopped(), Some(&writer), FOREVER).unwrap();
        assert_eq!(woken, Woken::TriggerGone);
    }

    #[test]
    fn a_stop_goes_before_everything_else() {
        let stop = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(wait(&stop, Some(&writer), FOREVER).unwrap(), Woken::Stop);
        assert_eq!(wait(&stop, None::<&Trigger>, FOREVER).unwrap(), Woken::Stop);
    }

    #[test]
    fn without_news_the_time_ends_the_wait() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let woken = wait(&never_stopped(), Some(&writer), Duration::from_millis(1)).unwrap();
        assert_eq!(woken, Woken::Time);
    }
}
