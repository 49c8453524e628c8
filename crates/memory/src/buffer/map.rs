//! Anonymous memory straight from the kernel: the only unsafe code of this crate.
//!
//! `mmap` and `munmap` rather than the allocator, because what is given back must be back: an
//! allocator keeps freed memory, and `MADV_FREE` leaves it resident until the kernel is already
//! short. Resident pages are asked of the kernel (`mincore`) rather than guessed from what was
//! handed out, so that the ledger's account of its own memory is as true as its account of the
//! machine.
#![allow(
    unsafe_code,
    reason = "mappings can't be had otherwise; kept to this module, each block argued and tested"
)]

use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// Addresses and lengths are whole pages of this size at least. Kernels with larger pages align
/// further by themselves.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Rounds up to whole pages, one at least.
pub(crate) fn whole_pages(bytes: u64) -> u64 {
    bytes
        .max(1)
        .checked_next_multiple_of(PAGE_BYTES)
        .unwrap_or(u64::MAX / PAGE_BYTES * PAGE_BYTES)
}

/// A private anonymous mapping, readable and writable, owned.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned by exactly one value and is plain memory, not bound to a thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives shared slices only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` zeroed bytes; nothing is resident until touched.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a null hint without MAP_FIXED can't touch an existing mapping.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start..start+len` is mapped, initialised (zeroed by the kernel) and ours for as
        // long as `self` is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Makes the mapping longer, keeping its contents; it may move. The new part is zeroed.
    pub(crate) fn grow(&mut self, len: usize) -> io::Result<()> {
        if len <= self.len {
            return Ok(());
        }
        // SAFETY: the old range is ours, and no reference into it outlives `&mut self`.
        let start = unsafe {
            mremap(
                self.start.as_ptr().cast(),
                self.len,
                len,
                MremapFlags::MAYMOVE,
            )?
        };
        self.start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        self.len = len;
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by us, is unmapped once, and no reference into it outlives
        // `self`.
        let result = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(result.is_ok(), "munmap of our own range fails: {result:?}");
    }
}

/// How many bytes of `address..address+len` are resident. The range may have been unmapped
/// meanwhile: then the answer is an error, or about other memory; it is only a number
/// either way.
#[cfg(not(miri))]
pub(crate) fn resident_bytes(address: usize, len: usize) -> io::Result<u64> {
    const STEP_PAGES: usize = 1024;
    let page = rustix::param::page_size();
    let mut pages = [0u8; STEP_PAGES];
    let mut resident = 0u64;
    let mut done = 0usize;
    while done < len {
        let step = (len - done).min(STEP_PAGES * page);
        // SAFETY: mincore only reads the page tables of the range, mapped or not, and writes one
        // byte per page of it into `pages`, which has room for STEP_PAGES of them.
        let result = unsafe {
            libc::mincore(
                (address + done) as *mut libc::c_void,
                step,
                pages.as_mut_ptr(),
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let here = pages
            .iter()
            .take(step.div_ceil(page))
            .filter(|page| **page & 1 == 1)
            .count();
        resident += (here * page) as u64;
        done += step;
    }
    Ok(resident)
}

/// Under Miri there is no mincore: all of it counts as resident.
#[cfg(miri)]
pub(crate) fn resident_bytes(_address: usize, len: usize) -> io::Result<u64> {
    Ok(len as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_writable_and_given_back() {
        let mut mapping = Mapping::new(64 << 10).unwrap();
        assert_eq!(mapping.address() % PAGE_BYTES as usize, 0);
        assert!(mapping.bytes().iter().all(|byte| *byte == 0));
        mapping.bytes_mut().fill(7);
        mapping.grow(128 << 10).unwrap();
        assert_eq!(mapping.len(), 128 << 10);
        assert!(mapping.bytes()[..64 << 10].iter().all(|byte| *byte == 7));
        assert!(mapping.bytes()[64 << 10..].iter().all(|byte| *byte == 0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no mincore")]
    fn resident_is_what_was_touched() {
        let len = 3 << 20;
        let mut mapping = Mapping::new(len).unwrap();
        assert_eq!(resident_bytes(mapping.address(), len).unwrap(), 0);
        mapping.bytes_mut()[0] = 1;
        let one = resident_bytes(mapping.address(), len).unwrap();
        assert!(one >= PAGE_BYTES && one < len as u64, "{one}");
        mapping.bytes_mut().fill(1);
        assert_eq!(resident_bytes(mapping.address(), len).unwrap(), len as u64);
        let address = mapping.address();
        drop(mapping);
        // Another thread may have mapped there meanwhile; it must be no more than an answer.
        let _ = resident_bytes(address, len);
    }

    #[test]
    fn a_mapping_goes_to_another_thread() {
        let mut mapping = Mapping::new(4096).unwrap();
        mapping.bytes_mut()[4095] = 9;
        let last = std::thread::spawn(move || mapping.bytes()[4095])
            .join()
            .unwrap();
        assert_eq!(last, 9);
    }
}
