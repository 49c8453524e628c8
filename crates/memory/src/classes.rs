//! What follows from the size of the machine alone: the class ceiling, the reserve, the ceiling and
//! the floor.

use crate::{ClassBuffers, Config};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Which class a machine is in, and what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Class {
    /// `4gb`, `8gb` or `16gb`.
    pub name: &'static str,
    /// Buffers of 16 MiB, of 32 MiB and of 8 MiB.
    pub buffers_16mib: u32,
    /// A quarter of them, halves rounded to even.
    pub buffers_32mib: u32,
    /// Half of them, halves rounded to even.
    pub buffers_8mib: u32,
    /// Together: 432, 688 or 1,384 MiB by default. A ceiling, never an allocation.
    pub ceiling_bytes: u64,
}

impl Class {
    /// The class of a machine of `total_bytes`: 15 buffers up to 4 GiB, 25 up to 8 GiB, 50 above,
    /// unless overridden.
    pub fn of(total_bytes: u64, overrides: ClassBuffers) -> Self {
        let (name, buffers) = if total_bytes <= 4 * GIB {
            ("4gb", overrides.max_4gb.unwrap_or(15))
        } else if total_bytes <= 8 * GIB {
            ("8gb", overrides.max_8gb.unwrap_or(25))
        } else {
            ("16gb", overrides.max_16gb.unwrap_or(50))
        };
        let buffers_32mib = divided(buffers, 4);
        let buffers_8mib = divided(buffers, 2);
        let ceiling_bytes = u64::from(buffers) * 16 * MIB
            + u64::from(buffers_32mib) * 32 * MIB
            + u64::from(buffers_8mib) * 8 * MIB;
        Self {
            name,
            buffers_16mib: buffers,
            buffers_32mib,
            buffers_8mib,
            ceiling_bytes,
        }
    }
}

/// Division with halves rounded to even.
fn divided(count: u32, by: u32) -> u32 {
    let (whole, rest) = (count / by, count % by);
    match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

/// What follows from the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) total: u64,
    pub(crate) reserve: u64,
    pub(crate) ceiling: u64,
    /// What one upload may hold at any pressure: two buffers. It is taken out of the reserve.
    pub(crate) floor: u64,
    /// The largest piece for an upload that waits.
    pub(crate) buffer_max: u64,
    pub(crate) drift_alarm: u64,
}

impl Bounds {
    pub(crate) fn of(total: u64, config: &Config) -> Self {
        let reserve = config
            .reserve_bytes
            .unwrap_or_else(|| default_reserve(total))
            .min(total);
        let class = Class::of(total, config.class_buffers);
        let ceiling = config
            .ceiling_bytes
            .unwrap_or(total / 2)
            .min(class.ceiling_bytes)
            .min(total);
        // Half of the default reserve whatever reserve is configured: the floor must stand even
        // with a reserve of zero.
        let floor = (default_reserve(total) / 2)
            .clamp(2 * config.buffer_bytes_min, 2 * config.buffer_bytes_max);
        let buffer_max = previous_power_of_two(floor / 2)
            .clamp(config.buffer_bytes_min, config.buffer_bytes_max);
        let drift_alarm = config
            .drift_alarm_bytes
            .unwrap_or((total / 8).max(16 * MIB));
        Self {
            total,
            reserve,
            ceiling,
            floor,
            buffer_max,
            drift_alarm,
        }
    }
}

/// `clamp(limit / 8, 128 MiB, 2 GiB)`; `limit / 4` below 512 MiB, where 128 MiB would be most of
/// it.
fn default_reserve(total: u64) -> u64 {
    if total < 512 * MIB {
        total / 4
    } else {
        (total / 8).clamp(128 * MIB, 2 * GIB)
    }
}

pub(crate) fn previous_power_of_two(bytes: u64) -> u64 {
    if bytes == 0 { 0 } else { 1 << bytes.ilog2() }
}

/// Pieces are whole multiples of this once they are larger than the least.
pub(crate) const PIECE_BYTES: u64 = 4 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_figures() {
        let mib = |total| Class::of(total, ClassBuffers::default()).ceiling_bytes / MIB;
        assert_eq!((mib(GIB), mib(4 * GIB)), (432, 432));
        assert_eq!((mib(4 * GIB + 1), mib(8 * GIB)), (688, 688));
        assert_eq!((mib(8 * GIB + 1), mib(64 * GIB)), (1384, 1384));
    }

    #[test]
    fn an_override_touches_its_class_only() {
        let overrides = ClassBuffers {
            max_4gb: Some(2),
            ..ClassBuffers::default()
        };
        // 2 × 16 + round(0.5 → 0) × 32 + 1 × 8
        assert_eq!(Class::of(GIB, overrides).ceiling_bytes, 40 * MIB);
        assert_eq!(Class::of(8 * GIB, overrides).ceiling_bytes, 688 * MIB);
    }

    #[test]
    fn halves_go_to_even() {
        let quarters: Vec<u32> = [2, 6, 10, 14, 15, 25, 50, 1, 3]
            .iter()
            .map(|count| divided(*count, 4))
            .collect();
        assert_eq!(quarters, [0, 2, 2, 4, 4, 6, 12, 0, 1]);
        assert_eq!([1, 3, 5, 7].map(|count| divided(count, 2)), [0, 2, 2, 4]);
    }

    #[test]
    fn reserves() {
        let reserve = |total| Bounds::of(total, &Config::default()).reserve;
        assert_eq!(reserve(32 * MIB), 8 * MIB);
        assert_eq!(reserve(512 * MIB), 128 * MIB);
        assert_eq!(reserve(4 * GIB), 512 * MIB);
        assert_eq!(reserve(64 * GIB), 2 * GIB);
    }

    #[test]
    fn the_smallest_box_has_a_floor_within_its_reserve() {
        let bounds = Bounds::of(32 * MIB, &Config::default());
        assert_eq!(
            (bounds.ceiling, bounds.floor, bounds.buffer_max),
            (16 * MIB, 4 * MIB, 2 * MIB)
        );
    }
}
