//! The filter, and the thread that answers for the kernel.
#![allow(
    unsafe_code,
    reason = "seccomp(2) has no safe binding, and a filter is put on between fork and exec"
)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::calls::{Asked, numbers};
use super::{DiskFaults, Trouble};

/// Watches one process from before its `exec` until it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Our copy of the end that the process sends its listener through; while it is open the thread
    /// can't know that none will come.
    sends: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Whatever `command` starts runs under the filter. To be kept until the process has ended.
    pub(crate) fn over(command: &mut Command, faults: &DiskFaults) -> Result<Self> {
        let (receives, sends) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let faults = faults.clone();
        let thread = std::thread::Builder::new()
            .name("disk-faults".to_owned())
            .spawn(move || {
                if let Ok(listener) = receive(&receives) {
                    answer_all(Arc::new(listener), &faults);
                }
            })
            .context("start a thread for the disk's faults")?;
        let filter = filter();
        let descriptor = sends.as_raw_fd();
        // SAFETY: between fork and exec only system calls are made; the filter was allocated before
        // and the descriptor is open as long as `self.sends`, which outlives the spawning.
        unsafe {
            command.pre_exec(move || {
                let listener = put_on(&filter)?;
                send(BorrowedFd::borrow_raw(descriptor), &listener)
            });
        }
        Ok(Self {
            sends: Some(sends),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.sends = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // ends with the last process under the filter
        }
    }
}

/// The filter: these calls are handed over, all others allowed.
fn filter() -> Vec<libc::sock_filter> {
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let give = |what| statement(libc::BPF_RET | libc::BPF_K, what, 0, 0);
    // The number is the first word of `seccomp_data`.
    let mut filter = vec![statement(
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        0,
        0,
        0,
    )];
    for number in numbers() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        filter.push(statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            number,
            0,
            1,
        ));
        filter.push(give(libc::SECCOMP_RET_USER_NOTIF));
    }
    filter.push(give(libc::SECCOMP_RET_ALLOW));
    filter
}

/// Puts the filter on the calling thread; the descriptor that its calls are handed over through.
/// Only system calls.
fn put_on(filter: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: plain numbers; and `program` points to a filter that lives until the call returns and
    // is only read.
    let listener = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match i32::try_from(listener) {
        // SAFETY: the kernel just made this descriptor for us.
        Ok(listener @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(listener) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn send(through: BorrowedFd<'_>, listener: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(
        through,
        &[IoSlice::new(b"l")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

fn receive(through: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        through,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(listener) = descriptors.next()
        {
            return Ok(listener);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// What the kernel is told about a call.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// It is made as asked.
    Made,
    /// It returns this.
    Returns(i64),
    /// It fails with this.
    Fails(i32),
}

/// Answers until the last process under the filter is gone.
fn answer_all(listener: Arc<OwnedFd>, faults: &DiskFaults) {
    loop {
        let mut ready = [PollFd::new(&*listener, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) if ready[0].revents().contains(PollFlags::IN) => {}
            Ok(_) => return, // hung up
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        let Some((id, asked)) = next(&listener) else {
            continue; // the thread that asked was killed meanwhile
        };
        let trouble = asked
            .about()
            .and_then(|(call, path)| faults.decide(call, &path));
        let now = match trouble {
            None => Answer::Made,
            Some(Trouble::Io) => Answer::Fails(libc::EIO),
            Some(Trouble::Full) => Answer::Fails(libc::ENOSPC),
            Some(Trouble::NoDescriptors) => Answer::Fails(libc::EMFILE),
            Some(Trouble::Short) => asked
                .write_half()
                .and_then(|bytes| i64::try_from(bytes).ok())
                .map_or(Answer::Made, Answer::Returns),
            Some(Trouble::Slow(time)) => {
                let listener = Arc::clone(&listener);
                std::thread::spawn(move || {
                    std::thread::sleep(time); // the fault itself
                    answer(&listener, id, Answer::Made);
                });
                continue;
            }
        };
        answer(&listener, id, now);
    }
}

/// The next call that waits for an answer.
fn next(listener: &OwnedFd) -> Option<(u64, Asked)> {
    // SAFETY: all fields are numbers, for which zero is a value; the kernel demands zeros.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `seccomp_notif` to the place of one.
    let done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            &raw mut asked,
        )
    };
    (done == 0).then(|| {
        let call = Asked {
            thread: asked.pid,
            number: libc::c_long::from(asked.data.nr),
            args: asked.data.args,
        };
        (asked.id, call)
    })
}

/// Answers one call. If the caller is gone there is nothing to do.
fn answer(listener: &OwnedFd, id: u64, answer: Answer) {
    let (val, error, flags) = match answer {
        Answer::Made => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Returns(value) => (value, 0, 0),
        Answer::Fails(errno) => (0, -errno, 0),
    };
    let response = libc::seccomp_notif_resp {
        id,
        val,
        error,
        flags,
    };
    // SAFETY: the kernel reads one `seccomp_notif_resp` from the place of one.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw const response,
        );
    }
}
