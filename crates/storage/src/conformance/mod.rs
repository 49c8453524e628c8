//! What every store has to do, as tests.
//!
//! One suite for all implementations: a promise that only one of them keeps is none. A backend's
//! author implements [`Subject`] and calls [`conformance_tests!`](crate::conformance_tests) in a
//! test module of his own; each sentence becomes a test of its own there. A new sentence comes to
//! all backends by its line in that macro.

mod content;
mod lifecycle;
mod material;
mod space;

pub use content::*;
pub use lifecycle::*;
pub use material::{Aligned, Random};
pub use space::*;

use ddx_id::SegmentId;

use crate::Store;

/// A store to be examined.
pub trait Subject {
    /// Opens it, or opens it again after everything of it was dropped: what was synced must be
    /// there.
    fn open(&self) -> Box<dyn Store>;

    /// Whether no other program uses its disk, so that figures of space can be compared to the
    /// byte.
    fn has_own_disk(&self) -> bool;
}

/// Makes a test of each sentence; `$subject` is an expression that makes a new, empty [`Subject`].
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!(@each $subject,
            a_new_segment_is_empty_and_listed,
            an_absent_segment_is_not_found,
            a_name_is_used_once,
            what_was_written_is_read,
            a_reader_sees_growth_and_outlives_deletion,
            pieces_of_any_size_and_alignment,
            going_on_cuts_what_lies_beyond,
            a_segment_shorter_than_told_is_corrupt,
            there_is_one_writer_at_a_time,
            synced_bytes_are_there_after_reopening,
            a_walk_through_all_calls,
            writers_do_not_disturb_each_other,
            what_does_not_fit_is_refused_and_leaves_nothing,
            a_reservation_is_kept_and_given_back,
            an_unknown_length_may_be_told_later,
        );
    };
    (@each $subject:expr, $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::$name(&$subject);
            }
        )*
    };
}

/// The `n`th segment of a test.
fn segment(n: u8) -> SegmentId {
    let mut id = [0xa5; 16];
    id[0] = n.wrapping_mul(83);
    id[15] = n;
    SegmentId::from_bytes(id)
}

/// All segments with their lengths, in the order of their ids.
fn listed(store: &dyn Store) -> Vec<(SegmentId, u64)> {
    let mut found: Vec<(SegmentId, u64)> = Vec::new();
    loop {
        let after = found.last().map(|(id, _)| *id);
        // Small pages, so that there is more than one.
        let page = store.list(after, 2).expect("the store lists its segments");
        assert!(page.len() <= 2 && page.is_sorted(), "{page:?}");
        if page.is_empty() {
            return found;
        }
        for id in page {
            assert!(found.last().is_none_or(|(last, _)| *last < id));
            let length = store.length(id).expect("what is listed has a length");
            found.push((id, length));
        }
    }
}

/// The whole content of a segment.
fn content(store: &dyn Store, id: SegmentId) -> Vec<u8> {
    let reader = store.open_reader(id).expect("the segment can be read");
    let mut bytes = Vec::new();
    let mut piece = vec![0; 100_000];
    loop {
        let count = reader
            .read_at(bytes.len() as u64, &mut piece)
            .expect("the segment can be read");
        if count == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

#[cfg(test)]
mod tests {
    /// A sentence that is not in the list would be tried on no backend.
    #[test]
    fn every_sentence_is_in_the_list() {
        let list: Vec<&str> = include_str!("mod.rs").lines().map(str::trim).collect();
        let modules = [
            include_str!("content.rs"),
            include_str!("lifecycle.rs"),
            include_str!("space.rs"),
        ];
        let mut sentences = 0;
        for line in modules.iter().flat_map(|text| text.lines()) {
            if let Some(rest) = line.strip_prefix("pub fn ") {
                let name = rest.split('(').next().unwrap();
                assert!(list.contains(&format!("{name},").as_str()), "{name}");
                sentences += 1;
            }
        }
        assert!(sentences >= 15, "only {sentences} sentences were found");
    }
}
