//! What every backend of [`Catalog`] must do, as cases that run against an empty catalog and panic
//! where it does not.
//!
//! They are part of the library, and not of one backend's tests, so that a backend in another crate
//! is held to the same sentences. They need no runtime: any executor can drive them.
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

mod complete;
mod joining;
mod life;
mod material;
mod removal;
mod shares;

use crate::{Catalog, ErrorKind};
use futures_util::future::BoxFuture;
use std::path::Path;
use std::sync::Arc;

/// A case: its name, which is the sentence that it proves, and what proves it on an empty catalog.
pub type Case = (&'static str, fn(Arc<dyn Catalog>) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        &[$((stringify!($case), |catalog| Box::pin($module::$case(catalog)))),*]
    };
}

/// All cases but one, which needs a folder.
pub const CASES: &[Case] = cases![
    shares::a_share_is_found_by_id_and_by_key,
    shares::a_share_exists_once,
    shares::a_file_makes_its_share,
    shares::a_path_is_taken_once_in_a_share,
    shares::a_listing_goes_by_path_and_by_page,
    shares::a_page_of_a_listing_ends_by_bytes,
    shares::shares_that_stay_empty_are_forgotten,
    life::a_record_reads_back_as_it_was_written,
    life::a_file_without_keys_is_found_by_none,
    life::a_small_file_comes_complete_with_its_bytes,
    life::a_record_that_contradicts_itself_is_refused,
    life::an_offset_never_goes_back,
    life::a_checkpoint_may_bring_length_and_segments,
    life::a_checkpoint_without_an_expiry_leaves_it,
    life::only_a_receiving_file_is_checkpointed,
    life::a_reservation_is_told_until_the_first_byte,
    complete::a_complete_file_is_final,
    complete::an_upload_may_end_inline,
    complete::a_completion_must_agree_with_the_record,
    complete::a_failed_file_keeps_its_record,
    complete::digests_are_filled_in_once,
    complete::a_damaged_file_says_so_and_gets_no_digest,
    complete::downloads_are_counted_up_to_their_maximum,
    complete::limits_of_a_complete_file_may_change,
    complete::totals_follow_each_change,
    complete::what_an_owner_has_unfinished_follows_each_change,
    joining::a_final_shares_the_segments_of_its_parts,
    joining::a_final_waits_for_its_parts,
    joining::finals_that_wait_come_page_by_page,
    joining::a_part_that_comes_further_keeps_its_family_alive,
    joining::a_final_is_not_joined_from_what_is_gone_or_different,
    removal::a_deleted_file_dooms_its_segments_and_frees_its_path,
    removal::a_segment_is_doomed_with_its_last_reference,
    removal::a_doomed_segment_is_not_referred_to_again,
    removal::expired_files_come_in_their_order,
    removal::only_what_is_expired_when_it_happens_is_deleted_as_such,
    removal::unfinished_files_come_page_by_page,
    removal::segments_come_page_by_page_for_reconciliation,
    removal::a_closed_catalog_answers_that_it_is_closed,
];

/// Runs all cases, each on a catalog that `fresh` makes, and checks and closes it after each. A
/// backup is written into `folder`, which is to be empty.
pub async fn run(folder: &Path, mut fresh: impl FnMut() -> Arc<dyn Catalog>) {
    for (name, case) in CASES {
        let _named = Named(name);
        let catalog = fresh();
        case(catalog.clone()).await;
        finish(&*catalog).await;
    }
    let _named = Named("a_backup_is_made_once_and_a_sound_catalog_passes_its_check");
    let catalog = fresh();
    removal::a_backup_is_made_once_and_a_sound_catalog_passes_its_check(catalog.clone(), folder)
        .await;
    finish(&*catalog).await;
}

async fn finish(catalog: &dyn Catalog) {
    match catalog.check().await {
        Err(error) if error.kind() != ErrorKind::Closed => panic!("{error}"),
        _ => {}
    }
    catalog.close().await.unwrap();
}

/// Says which case it was when one panics.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("conformance case failed: {}", self.0);
        }
    }
}
