//! getrusage(2): the one thing that tells of our own memory where there is no `/proc`.
#![allow(
    unsafe_code,
    reason = "no safe wrapper of this call is among our libraries"
)]

use crate::reading::Process;

/// The most that this process ever had resident, files included: never less than what it has.
pub(super) fn process() -> Process {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes one `rusage` to where it is told, which has room for it; all of its
    // fields are numbers, for which zeros are values, so that it is initialised even if the call
    // fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    Process {
        anon_bytes: u64::try_from(usage.ru_maxrss)
            .unwrap_or(0)
            .saturating_mul(1024),
        shmem_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_had_some_memory() {
        let bytes = process().anon_bytes;
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}
