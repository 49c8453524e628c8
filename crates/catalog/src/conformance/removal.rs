//! Cases about deletion, expiry, recovery, and the catalog as a whole.

use super::Examined;
use super::material::{at, completion, file, id, new, receiving, refused, segment, small, wide};
use crate::{Checkpoint, Completion, ErrorKind, FileRecord, Kind, State};
use ddx_id::{FileId, SegmentId};

fn ids(files: Vec<FileRecord>) -> Vec<FileId> {
    files.into_iter().map(|file| file.file_id).collect()
}

pub async fn a_deleted_file_marks_its_segments_for_deletion_and_frees_its_path(
    Examined { catalog, .. }: Examined,
) {
    assert_eq!(catalog.delete(id(1)).await.unwrap(), None);
    let two = FileRecord {
        segments: vec![segment(11, 0), segment(10, 0)],
        ..receiving(1)
    };
    catalog.create(new(two.clone())).await.unwrap();
    catalog
        .create(new(FileRecord {
            share_id: id(1),
            ..receiving(2)
        }))
        .await
        .unwrap();
    assert_eq!(catalog.delete(id(1)).await.unwrap(), Some(two.clone()));
    assert_eq!(catalog.file(id(1)).await.unwrap(), None);
    assert_eq!(catalog.file_by_upload_key(wide(1)).await.unwrap(), None);
    assert_eq!(
        catalog.pending_deletions(9).await.unwrap(),
        [id(11), id(10)]
    );
    assert_eq!(catalog.pending_deletions(1).await.unwrap(), [id(11)]);
    assert!(!catalog.knows_segment(id(11)).await.unwrap());
    assert!(
        catalog.share(id(1)).await.unwrap().is_some(),
        "a file is left in it"
    );
    catalog.forget_segments(vec![id(11), id(99)]).await.unwrap();
    assert_eq!(catalog.pending_deletions(9).await.unwrap(), [id(10)]);
    catalog.forget_segments(vec![id(10)]).await.unwrap();
    catalog.create(new(two)).await.unwrap();
    catalog.delete(id(1)).await.unwrap().unwrap();
    catalog.delete(id(2)).await.unwrap().unwrap();
    assert_eq!(
        catalog.share(id(1)).await.unwrap(),
        None,
        "its last file is gone"
    );
    let mut bytes_and_all = small(3, b"abc");
    bytes_and_all.record.expires_at = Some(1);
    catalog.create(bytes_and_all.clone()).await.unwrap();
    let gone = FileRecord {
        inline: true,
        ..bytes_and_all.record
    };
    assert_eq!(catalog.delete(id(3)).await.unwrap(), Some(gone));
    assert_eq!(catalog.inline(id(3)).await.unwrap(), None);
    assert_eq!(
        catalog.expired(i64::MAX, 0, 9).await.unwrap(),
        Vec::<FileId>::new()
    );
}

pub async fn a_segment_is_marked_for_deletion_with_its_last_reference(
    Examined { catalog, .. }: Examined,
) {
    catalog
        .create(new(FileRecord {
            kind: Kind::Partial,
            ..receiving(1)
        }))
        .await
        .unwrap();
    catalog
        .complete(completion(1, vec![segment(1, 100)]))
        .await
        .unwrap();
    for number in [2, 3] {
        let joined = FileRecord {
            kind: Kind::Final,
            state: State::Complete,
            length_bytes: Some(200),
            offset_bytes: 200,
            completed_at: Some(1),
            segments: vec![segment(1, 100), segment(1, 100)],
            parts: vec![id(1), id(1)],
            ..receiving(number)
        };
        catalog.create(new(joined)).await.unwrap();
    }
    for number in [1, 3] {
        catalog.delete(id(number)).await.unwrap().unwrap();
        assert_eq!(
            catalog.pending_deletions(9).await.unwrap(),
            Vec::<SegmentId>::new()
        );
        assert!(catalog.knows_segment(id(1)).await.unwrap());
    }
    assert_eq!(file(&*catalog, 2).await.segments.len(), 2);
    catalog.delete(id(2)).await.unwrap().unwrap();
    assert_eq!(catalog.pending_deletions(9).await.unwrap(), [id(1)]);
    assert!(!catalog.knows_segment(id(1)).await.unwrap());
}

pub async fn a_segment_pending_deletion_is_not_referred_to_again(
    Examined { catalog, .. }: Examined,
) {
    catalog.create(new(receiving(1))).await.unwrap();
    catalog.delete(id(1)).await.unwrap().unwrap();
    let again = FileRecord {
        segments: vec![segment(1, 0)],
        ..receiving(2)
    };
    assert_eq!(refused(catalog.create(new(again))).await, ErrorKind::Gone);
    catalog.create(new(receiving(2))).await.unwrap();
    assert_eq!(
        refused(catalog.complete(completion(2, vec![segment(1, 100)]))).await,
        ErrorKind::Gone
    );
    let moved = Checkpoint {
        segments: Some(vec![segment(1, 0)]),
        ..at(2, 10)
    };
    assert_eq!(refused(catalog.checkpoint(moved)).await, ErrorKind::Gone);
    assert_eq!(
        file(&*catalog, 2).await,
        receiving(2),
        "nothing of a refused change is kept"
    );
}

pub async fn expired_files_come_in_their_order(Examined { catalog, .. }: Examined) {
    for (number, expires_at) in [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(200))] {
        catalog
            .create(new(FileRecord {
                expires_at,
                ..receiving(number)
            }))
            .await
            .unwrap();
    }
    for (number, expires_at) in [(5, Some(150)), (6, None)] {
        let mut new_file = small(number, b"abc");
        new_file.record.expires_at = expires_at;
        catalog.create(new_file).await.unwrap();
    }
    assert_eq!(
        catalog.expired(99, 0, 9).await.unwrap(),
        Vec::<FileId>::new()
    );
    assert_eq!(
        catalog.expired(200, 0, 9).await.unwrap(),
        [id(2), id(5), id(4)]
    );
    assert_eq!(
        catalog.expired(i64::MAX, 0, 2).await.unwrap(),
        [id(2), id(5)]
    );
    assert_eq!(
        catalog.expired(i64::MAX, 2, 2).await.unwrap(),
        [id(4), id(1)],
        "without the first two"
    );
    // Coming further, and becoming complete, moves the hour.
    catalog
        .checkpoint(Checkpoint {
            expires_at: Some(400),
            ..at(2, 10)
        })
        .await
        .unwrap();
    let last = completion(4, vec![segment(4, 100)]);
    catalog
        .complete(Completion {
            expires_at: None,
            ..last
        })
        .await
        .unwrap();
    assert_eq!(
        catalog.expired(400, 0, 9).await.unwrap(),
        [id(5), id(1), id(2)]
    );
}

/// A caller that looked at it a while ago may name it: what has come further since stays.
pub async fn only_what_is_expired_when_it_happens_is_deleted_as_such(
    Examined { catalog, .. }: Examined,
) {
    for number in 1..=4 {
        catalog
            .create(new(FileRecord {
                expires_at: Some(100),
                ..receiving(number)
            }))
            .await
            .unwrap();
    }
    let seen = catalog.expired(100, 0, 9).await.unwrap();
    assert_eq!(seen.len(), 4);
    catalog
        .checkpoint(Checkpoint {
            expires_at: Some(400),
            ..at(2, 10)
        })
        .await
        .unwrap();
    catalog
        .complete(Completion {
            expires_at: None,
            ..completion(3, vec![segment(3, 100)])
        })
        .await
        .unwrap();
    let before = file(&*catalog, 1).await;
    let named = [seen, vec![id(9)]].concat();
    let gone = catalog.delete_expired(100, named.clone()).await.unwrap();
    assert_eq!(ids(gone.clone()), [id(1), id(4)]);
    assert_eq!(gone[0], before);
    assert_eq!(catalog.pending_deletions(9).await.unwrap(), [id(1), id(4)]);
    assert_eq!(
        catalog.delete_expired(399, named.clone()).await.unwrap(),
        []
    );
    let gone = catalog.delete_expired(400, named).await.unwrap();
    assert_eq!(ids(gone), [id(2)]);
    assert_eq!(file(&*catalog, 3).await.state, State::Complete);
}

pub async fn unfinished_files_come_page_by_page(Examined { catalog, .. }: Examined) {
    for number in 1..=5 {
        catalog.create(new(receiving(number))).await.unwrap();
    }
    let joining = FileRecord {
        kind: Kind::Final,
        state: State::Joining,
        segments: Vec::new(),
        ..receiving(6)
    };
    catalog.create(new(joining)).await.unwrap();
    catalog.create(small(7, b"abc")).await.unwrap();
    catalog
        .complete(completion(3, vec![segment(3, 100)]))
        .await
        .unwrap();
    catalog.fail(id(1), "why".to_owned(), 9).await.unwrap();
    assert_eq!(
        ids(catalog.unfinished(2, None).await.unwrap()),
        [id(2), id(4)]
    );
    catalog.delete(id(4)).await.unwrap().unwrap();
    assert_eq!(
        ids(catalog.unfinished(2, Some(id(4))).await.unwrap()),
        [id(5), id(6)]
    );
    assert_eq!(
        ids(catalog.unfinished(2, Some(id(6))).await.unwrap()),
        Vec::<FileId>::new()
    );
}

pub async fn segments_come_page_by_page_for_reconciliation(Examined { catalog, .. }: Examined) {
    let many = FileRecord {
        segments: vec![segment(5, 0), segment(1, 0), segment(5, 0)],
        ..receiving(1)
    };
    catalog.create(new(many)).await.unwrap();
    catalog
        .create(new(FileRecord {
            segments: vec![segment(3, 0)],
            ..receiving(2)
        }))
        .await
        .unwrap();
    assert_eq!(catalog.segments(2, None).await.unwrap(), [id(1), id(3)]);
    assert_eq!(catalog.segments(2, Some(id(3))).await.unwrap(), [id(5)]);
    assert_eq!(
        catalog.segments(2, Some(id(5))).await.unwrap(),
        Vec::<SegmentId>::new()
    );
    assert!(catalog.knows_segment(id(5)).await.unwrap());
    assert!(!catalog.knows_segment(id(2)).await.unwrap());
}

pub async fn a_backup_is_made_once_and_a_sound_catalog_passes_its_check(
    Examined { catalog, folder }: Examined,
) {
    catalog.create(new(receiving(1))).await.unwrap();
    catalog.create(small(2, b"abc")).await.unwrap();
    catalog.check().await.unwrap();
    let to = folder.join("copy");
    catalog.backup(to.clone()).await.unwrap();
    assert!(std::fs::metadata(&to).unwrap().len() > 0);
    assert_eq!(refused(catalog.backup(to.clone())).await, ErrorKind::Taken);
    assert_eq!(
        refused(catalog.backup(folder.join("no/such/folder"))).await,
        ErrorKind::Io
    );
}

pub async fn a_closed_catalog_answers_that_it_is_closed(Examined { catalog, .. }: Examined) {
    catalog.create(new(receiving(1))).await.unwrap();
    catalog.close().await.unwrap();
    assert_eq!(
        refused(catalog.create(new(receiving(2)))).await,
        ErrorKind::Closed
    );
    assert_eq!(refused(catalog.file(id(1))).await, ErrorKind::Closed);
    assert_eq!(refused(catalog.check()).await, ErrorKind::Closed);
    catalog.close().await.unwrap();
}
