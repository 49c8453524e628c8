//! Cases about concatenation: a final is a list of its parts' segments.

use super::{completion, file, id, new, receiving, refused, segment, small};
use crate::{Catalog, Completion, ErrorKind, FileRecord, Kind, State};
use std::sync::Arc;

/// A final in joining state with these parts.
fn joining(number: u32, parts: &[u32]) -> FileRecord {
    FileRecord {
        kind: Kind::Final,
        state: State::Joining,
        length_bytes: None,
        segments: Vec::new(),
        parts: parts.iter().map(|&part| id(part)).collect(),
        ..receiving(number)
    }
}

async fn complete_part(catalog: &dyn Catalog, number: u32) {
    catalog
        .create(new(FileRecord {
            kind: Kind::Partial,
            ..receiving(number)
        }))
        .await
        .unwrap();
    catalog
        .complete(Completion {
            blake3: None,
            ..completion(number, vec![segment(number, 100)])
        })
        .await
        .unwrap();
}

pub(super) async fn a_final_shares_the_segments_of_its_parts(catalog: Arc<dyn Catalog>) {
    complete_part(&*catalog, 1).await;
    complete_part(&*catalog, 2).await;
    let mut empty = small(9, b"");
    empty.record.kind = Kind::Partial;
    catalog.create(empty).await.unwrap(); // inline: nothing that a final would have to refer to
    let at_once = FileRecord {
        state: State::Complete,
        length_bytes: Some(300),
        offset_bytes: 300,
        completed_at: Some(4_000),
        segments: vec![segment(2, 100), segment(1, 100), segment(2, 100)],
        ..joining(3, &[2, 9, 1, 2])
    };
    catalog.create(new(at_once.clone())).await.unwrap();
    assert_eq!(file(&*catalog, 3).await, at_once);
    let later = joining(4, &[1, 2]);
    catalog.create(new(later.clone())).await.unwrap();
    assert_eq!(file(&*catalog, 4).await, later);
    catalog
        .complete(completion(4, vec![segment(1, 100), segment(2, 100)]))
        .await
        .unwrap();
    let record = file(&*catalog, 4).await;
    assert_eq!(
        (record.length_bytes, record.offset_bytes, record.parts),
        (Some(200), 200, later.parts)
    );
}

pub(super) async fn a_final_waits_for_its_parts(catalog: Arc<dyn Catalog>) {
    catalog
        .create(new(FileRecord {
            kind: Kind::Partial,
            ..receiving(1)
        }))
        .await
        .unwrap();
    complete_part(&*catalog, 2).await;
    catalog.create(new(joining(3, &[1, 2, 1]))).await.unwrap();
    catalog.create(new(joining(4, &[2]))).await.unwrap();
    assert_eq!(
        catalog.finals_waiting_for(id(1)).await.unwrap(),
        [file(&*catalog, 3).await],
        "once, though twice in it"
    );
    assert_eq!(catalog.finals_waiting_for(id(2)).await.unwrap().len(), 2);
    assert_eq!(catalog.finals_waiting_for(id(3)).await.unwrap(), []);
    let early = completion(3, vec![segment(1, 100), segment(2, 100), segment(1, 100)]);
    assert_eq!(
        refused(catalog.complete(early)).await,
        ErrorKind::Invalid,
        "a part is still receiving"
    );
    catalog
        .complete(completion(4, vec![segment(2, 100)]))
        .await
        .unwrap();
    assert_eq!(
        catalog.finals_waiting_for(id(2)).await.unwrap(),
        [file(&*catalog, 3).await]
    );
    catalog
        .fail(id(3), "a part failed".to_owned(), 9)
        .await
        .unwrap();
    assert_eq!(catalog.finals_waiting_for(id(1)).await.unwrap(), []);
}

pub(super) async fn a_final_is_not_joined_from_what_is_gone_or_different(
    catalog: Arc<dyn Catalog>,
) {
    complete_part(&*catalog, 1).await;
    complete_part(&*catalog, 2).await;
    catalog.create(new(joining(3, &[1, 2]))).await.unwrap();
    let swapped = completion(3, vec![segment(2, 100), segment(1, 100)]);
    assert_eq!(refused(catalog.complete(swapped)).await, ErrorKind::Invalid);
    assert_eq!(
        refused(catalog.complete(completion(3, vec![segment(1, 100)]))).await,
        ErrorKind::Invalid
    );
    catalog.create(new(receiving(4))).await.unwrap();
    catalog
        .complete(completion(4, vec![segment(4, 100)]))
        .await
        .unwrap();
    catalog.create(new(joining(5, &[4]))).await.unwrap();
    let of_whole = completion(5, vec![segment(4, 100)]);
    assert_eq!(
        refused(catalog.complete(of_whole)).await,
        ErrorKind::Invalid,
        "a whole upload is no part"
    );
    catalog.delete(id(2)).await.unwrap().unwrap();
    let right = completion(3, vec![segment(1, 100), segment(2, 100)]);
    assert_eq!(refused(catalog.complete(right)).await, ErrorKind::Gone);
    assert_eq!(file(&*catalog, 3).await.state, State::Joining);
}
