//! How many bytes make a socket readable (`SO_RCVLOWAT`, socket(7)).

#![expect(unsafe_code, reason = "no library that we use sets this option")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// From now on the socket is readable once so many bytes are here, at its end, and after an error.
///
/// The kernel looks at once whether what is here is enough, so that nobody who waits has to ask anew.
///
/// # Errors
/// What the kernel says, where it does not have this.
pub(crate) fn set(socket: &impl AsFd, bytes: u64) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for as long as the call lasts, and the kernel reads one `c_int`
    // from where `bytes` is alive.
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
