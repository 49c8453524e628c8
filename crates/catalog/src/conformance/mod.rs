//! What every backend of [`Catalog`] must do, as cases that run against an empty catalog and panic
//! where it does not.
//!
//! They are part of the library, and not of one backend's tests, so that a backend in another crate
//! is held to the same sentences. They need no runtime: any executor can drive them.
//!
//! A backend's author implements [`Subject`] and calls
//! [`conformance_tests!`](crate::conformance_tests) in a test module of his own; each case becomes
//! a test of its own there. A new case comes to all backends by its line in that macro.
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]
#![allow(
    missing_docs,
    reason = "a case is called by the sentence that it proves"
)]

mod complete;
mod joining;
mod life;
mod material;
mod removal;
mod shares;

pub use complete::*;
pub use joining::*;
pub use life::*;
pub use removal::*;
pub use shares::*;

use crate::{Catalog, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A backend to be examined.
pub trait Subject {
    /// An empty catalog. It is asked for once.
    fn catalog(&self) -> Arc<dyn Catalog>;

    /// An empty folder, which a backup is written into.
    fn backup_folder(&self) -> &Path;
}

/// What a case is given.
pub struct Examined {
    /// An empty catalog.
    pub catalog: Arc<dyn Catalog>,
    /// An empty folder.
    pub folder: PathBuf,
}

/// Makes a test of each case. The attribute says how a test of an async function is run;
/// `$subject` is an expression that makes a new [`Subject`].
///
/// ```text
/// ddx_catalog::conformance_tests!(#[tokio::test] MySubject::new());
/// ```
#[macro_export]
macro_rules! conformance_tests {
    (#[$test:meta] $subject:expr) => {
        $crate::conformance_tests!(@each #[$test] $subject,
            a_share_is_found_by_id_and_by_key,
            a_share_exists_once,
            a_file_makes_its_share,
            a_path_is_taken_once_in_a_share,
            a_listing_goes_by_path_and_by_page,
            a_page_of_a_listing_ends_by_bytes,
            shares_that_stay_empty_are_forgotten,
            a_record_reads_back_as_it_was_written,
            a_file_without_keys_is_found_by_none,
            a_small_file_comes_complete_with_its_bytes,
            a_record_that_contradicts_itself_is_refused,
            an_offset_never_goes_back,
            a_checkpoint_may_bring_length_and_segments,
            a_checkpoint_without_an_expiry_leaves_it,
            only_a_receiving_file_is_checkpointed,
            a_reservation_is_told_until_the_first_byte,
            a_complete_file_is_final,
            an_upload_may_end_inline,
            a_completion_must_agree_with_the_record,
            a_failed_file_keeps_its_record,
            digests_are_filled_in_once,
            a_damaged_file_says_so_and_gets_no_digest,
            downloads_are_counted_up_to_their_maximum,
            limits_of_a_complete_file_may_change,
            totals_follow_each_change,
            what_an_owner_has_unfinished_follows_each_change,
            a_final_shares_the_segments_of_its_parts,
            a_final_waits_for_its_parts,
            finals_that_wait_come_page_by_page,
            a_part_that_comes_further_keeps_its_family_alive,
            a_final_is_not_joined_from_what_is_gone_or_different,
            a_deleted_file_marks_its_segments_for_deletion_and_frees_its_path,
            a_segment_is_marked_for_deletion_with_its_last_reference,
            a_segment_pending_deletion_is_not_referred_to_again,
            expired_files_come_in_their_order,
            only_what_is_expired_when_it_happens_is_deleted_as_such,
            unfinished_files_come_page_by_page,
            segments_come_page_by_page_for_reconciliation,
            a_closed_catalog_answers_that_it_is_closed,
            a_backup_is_made_once_and_a_sound_catalog_passes_its_check,
        );
    };
    (@each #[$test:meta] $subject:expr, $($name:ident,)*) => {
        $(
            #[$test]
            async fn $name() {
                $crate::conformance::prove(&$subject, $crate::conformance::$name).await;
            }
        )*
    };
}

/// Runs one case, and checks and closes its catalog afterwards.
pub async fn prove(subject: &impl Subject, case: impl AsyncFnOnce(Examined)) {
    let catalog = subject.catalog();
    let folder = subject.backup_folder().to_owned();
    let examined = Examined {
        catalog: catalog.clone(),
        folder,
    };
    case(examined).await;
    match catalog.check().await {
        Err(error) if error.kind() != ErrorKind::Closed => panic!("{error}"),
        _ => {}
    }
    catalog.close().await.unwrap();
}

#[cfg(test)]
mod tests {
    /// A case that is not in the list would be run for no backend.
    #[test]
    fn every_case_is_in_the_list() {
        let list: Vec<&str> = include_str!("mod.rs").lines().map(str::trim).collect();
        let modules = [
            include_str!("complete.rs"),
            include_str!("joining.rs"),
            include_str!("life.rs"),
            include_str!("removal.rs"),
            include_str!("shares.rs"),
        ];
        let mut cases = 0;
        for line in modules.iter().flat_map(|text| text.lines()) {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split('(').next().unwrap();
                assert!(list.contains(&format!("{name},").as_str()), "{name}");
                cases += 1;
            }
        }
        assert!(cases >= 40, "only {cases} cases were found");
    }
}
