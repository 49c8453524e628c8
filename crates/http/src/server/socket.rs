//! Options of a socket for which there is no safe call in what we use (socket(7), tcp(7)).
//!
//! The kernel asks a peer whose window is closed again and again. One that answers lives, and only
//! its reader rests: a film that is paused, or a proxy that is busy with what it has.

#![expect(
    unsafe_code,
    reason = "no library that we use knows SO_RCVLOWAT and TCP_INFO"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// From now on the socket is readable once so many bytes are here, at its end, and after an error
/// (`SO_RCVLOWAT`).
///
/// The kernel looks at once whether what is here is enough, so that a task that waits has not to
/// ask anew.
///
/// # Errors
/// What the kernel says, where it does not have this.
pub(crate) fn set_low_water(socket: &impl AsFd, bytes: u64) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for as long as the call lasts, and the kernel reads one
    // `c_int` from where `bytes` is alive.
    let code = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        )
    };
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Questions of the kernel, or repeated bytes, without an answer from which on a peer counts as
/// gone. One may be under way.
const UNANSWERED: u8 = 2;

/// Whether the other end answers the kernel (`TCP_INFO`).
pub(crate) fn is_alive(socket: &impl AsFd) -> bool {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for as long as the call lasts, and the kernel writes at
    // most `length` bytes to `info`, which has as many.
    let code = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if code != 0 {
        return false;
    }
    // SAFETY: it has numbers only, for which zero is one, also where the kernel wrote less.
    let info = unsafe { info.assume_init() };
    info.tcpi_probes < UNANSWERED && info.tcpi_retransmits < UNANSWERED
}

/// From now on the kernel ends the connection once its peer has taken nothing for so long
/// (`TCP_USER_TIMEOUT`). It counts an open connection whose window is closed as it does a dead one.
pub(crate) fn set_user_timeout(socket: &impl AsFd, time: Duration) -> io::Result<()> {
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Ok(rustix::net::sockopt::set_tcp_user_timeout(socket, millis)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_peer_that_reads_nothing_is_alive() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let _silent = TcpStream::connect(address).expect("connects");
        let (mut stream, _) = listener.accept().expect("accepts");
        stream.set_nonblocking(true).expect("a socket");
        assert!(is_alive(&stream));
        // Until nothing more goes in.
        while stream.write(&[0; 65_536]).is_ok() {}
        assert!(is_alive(&stream));
        set_user_timeout(&stream, Duration::from_secs(1)).expect("a TCP socket");
    }

    #[test]
    fn what_is_no_tcp_connection_is_not_alive() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert!(!is_alive(&one));
    }
}
