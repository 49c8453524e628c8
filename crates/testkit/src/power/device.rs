//! What a disk does with writes when its power goes.
//!
//! A disk answers a write when it lies in its own memory, and may put it on the medium in any order
//! and at any time. Only a flush is a promise. So every write since the last flush is kept beside
//! the medium, and when the power goes each of its blocks is there or not there by chance: whole
//! writes, halves of writes, later ones without earlier ones. A block is what a disk writes at once
//! or not at all; it is 512 bytes here, so that a page of 4 KiB is torn as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// What is written whole or not at all, in bytes.
const BLOCK_BYTES: usize = 512;

/// What a cut took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerCut {
    /// Writes that were answered and not flushed when the power went.
    pub unflushed_writes: u64,
    /// Their blocks.
    pub unflushed_blocks: u64,
    /// Of these, the ones that are lost.
    pub lost_blocks: u64,
    /// Flushes that the disk had carried out since it was switched on.
    pub flushes: u64,
}

/// A medium with a memory before it.
#[derive(Debug)]
pub(super) struct Device {
    medium: File,
    size_bytes: u64,
    state: Mutex<State>,
    went_off: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Writes since the last flush, in order.
    unflushed: Vec<(u64, Vec<u8>)>,
    flushes: u64,
    is_off: bool,
    /// Writes and flushes until the power goes by itself.
    goes_after: Option<u64>,
}

impl Device {
    pub(super) fn new(medium: File) -> io::Result<Self> {
        Ok(Self {
            size_bytes: medium.metadata()?.len(),
            medium,
            state: Mutex::default(),
            went_off: Condvar::new(),
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let state = self.powered(false)?;
        let length =
            length.min(usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(0));
        let mut bytes = vec![0; length];
        self.medium
            .read_exact_at(&mut bytes, offset)
            .map_err(|_| Errno::IO)?;
        for (at, written) in &state.unflushed {
            let start = offset.max(*at);
            let end = (offset + length as u64).min(at + written.len() as u64);
            if start < end {
                let (from, to) = ((start - at) as usize, (end - at) as usize);
                bytes[(start - offset) as usize..(end - offset) as usize]
                    .copy_from_slice(&written[from..to]);
            }
        }
        Ok(bytes)
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut state = self.powered(true)?;
        if offset + bytes.len() as u64 > self.size_bytes {
            return Err(Errno::NOSPC);
        }
        state.unflushed.push((offset, bytes.to_vec()));
        Ok(())
    }

    /// From here on, what was written is on the medium.
    pub(super) fn flush(&self) -> Result<(), Errno> {
        let mut state = self.powered(true)?;
        for (offset, bytes) in state.unflushed.drain(..) {
            self.medium
                .write_all_at(&bytes, offset)
                .map_err(|_| Errno::IO)?;
        }
        state.flushes += 1;
        Ok(())
    }

    /// The state while there is power. `counts`: this call is one of those after which the power
    /// goes.
    fn powered(&self, counts: bool) -> Result<MutexGuard<'_, State>, Errno> {
        let mut state = self.state();
        let is_at_stake = !state.unflushed.is_empty();
        if counts && let Some(left) = &mut state.goes_after {
            *left = left.saturating_sub(1);
            if *left == 0 && is_at_stake {
                state.is_off = true;
                self.went_off.notify_all();
            }
        }
        if state.is_off {
            Err(Errno::IO)
        } else {
            Ok(state)
        }
    }

    /// The power goes at the `calls`-th write or flush from now, which is not carried out; where
    /// nothing is unflushed then, at the first one after it that finds something.
    pub(super) fn goes_after(&self, calls: u64) {
        self.state().goes_after = Some(calls.max(1));
    }

    pub(super) fn switch_off(&self) {
        self.state().is_off = true;
        self.went_off.notify_all();
    }

    /// Waits until the power has gone; whether it has, within `within`.
    pub(super) fn await_off(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut state = self.state();
        while !state.is_off {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .went_off
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
        true
    }

    /// Throws away what chance takes of the unflushed writes, and switches the power on again.
    /// `survives`: whether the next block gets to the medium.
    pub(super) fn switch_on(&self, mut survives: impl FnMut() -> bool) -> io::Result<PowerCut> {
        let mut state = self.state();
        let mut cut = PowerCut {
            unflushed_writes: state.unflushed.len() as u64,
            flushes: state.flushes,
            ..PowerCut::default()
        };
        for (offset, bytes) in state.unflushed.drain(..) {
            for (at, block) in (offset..)
                .step_by(BLOCK_BYTES)
                .zip(bytes.chunks(BLOCK_BYTES))
            {
                cut.unflushed_blocks += 1;
                if survives() {
                    self.medium.write_all_at(block, at)?;
                } else {
                    cut.lost_blocks += 1;
                }
            }
        }
        *state = State::default();
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;

    fn device() -> Result<Device> {
        let medium = tempfile::tempfile()?;
        medium.set_len(4096)?;
        Ok(Device::new(medium)?)
    }

    #[test]
    fn what_was_flushed_stays_and_what_was_not_goes_block_by_block() -> Result<()> {
        let device = device()?;
        device.write(0, &[1; 1024])?;
        device.flush()?;
        device.write(0, &[2; 1024])?;
        device.write(512, &[3; 512])?;
        assert_eq!(device.read(0, 1024)?, [[2; 512], [3; 512]].concat());
        device.switch_off();
        assert_eq!(device.write(0, &[4; 512]), Err(Errno::IO));
        assert_eq!(device.flush(), Err(Errno::IO));
        let mut fates = [false, true, false].into_iter();
        let cut = device.switch_on(|| fates.next().unwrap_or(false))?;
        assert_eq!(
            (
                cut.unflushed_writes,
                cut.unflushed_blocks,
                cut.lost_blocks,
                cut.flushes
            ),
            (2, 3, 2, 1)
        );
        // The first block is as flushed; of the second the earlier write came through and the later
        // one did not.
        assert_eq!(device.read(0, 1024)?, [[1; 512], [2; 512]].concat());
        Ok(())
    }

    #[test]
    fn the_power_goes_in_the_midst_of_calls_and_the_last_one_is_not_carried_out() -> Result<()> {
        let device = device()?;
        device.goes_after(2);
        device.write(0, &[1; 512])?;
        assert!(!device.await_off(Duration::ZERO));
        assert_eq!(device.flush(), Err(Errno::IO));
        assert!(device.await_off(Duration::ZERO));
        let cut = device.switch_on(|| false)?;
        assert_eq!(
            (cut.unflushed_writes, cut.lost_blocks, cut.flushes),
            (1, 1, 0)
        );
        assert_eq!(device.read(0, 4096)?, [0; 4096]);
        Ok(())
    }
}
