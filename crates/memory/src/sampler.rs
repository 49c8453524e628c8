//! The only thread of this crate: it reads the machine again and again.

use std::io;
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::{Error, Ledger};

/// The running sampler. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub struct Sampler {
    stop: std::sync::Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Starts the thread that reads the machine every `Config::sample_every` (`idle_sample_every` while nothing is leased) and
    /// whenever the kernel tells of pressure.
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
            .spawn(move || run(&ledger, &stopped))
            .map_err(Error::Sampler)?;
        Ok(Sampler {
            stop,
            thread: Some(thread),
        })
    }
}

fn run(ledger: &Ledger, stop: &OwnedFd) {
    loop {
        let config = ledger.config();
        let every = if ledger.inner().is_busy() {
            config.sample_every
        } else {
            config.idle_sample_every
        };
        match wait(stop, every) {
            Ok(true) => return,
            Ok(false) => ledger.sample(),
            Err(error) => {
                tracing::error!(%error, "the memory sampler can't wait and ends; figures are read on demand from now on");
                return;
            }
        }
    }
}

/// Waits; `true` if it is to stop.
fn wait(stop: &OwnedFd, every: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(stop, PollFlags::IN)];
    let timeout = Timespec::try_from(every).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => Ok(fds[0].revents().contains(PollFlags::IN)),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // Writing to an eventfd fails only when its counter is full, and then it is readable as well.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
