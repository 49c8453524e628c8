//! Cases about concatenation: a final is a list of its parts' segments.

use super::Examined;
use super::material::{at, completion, file, id, new, receiving, refused, segment, small};
use crate::{Catalog, Checkpoint, Completion, ErrorKind, FileRecord, Kind, State};
use ddx_id::FileId;

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

pub async fn a_final_shares_the_segments_of_its_parts(Examined { catalog, .. }: Examined) {
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

pub async fn a_final_waits_for_its_parts(Examined { catalog, .. }: Examined) {
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
        catalog.finals_waiting_for(id(1), None, 9).await.unwrap(),
        [file(&*catalog, 3).await],
        "once, though twice in it"
    );
    assert_eq!(
        catalog
            .finals_waiting_for(id(2), None, 9)
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        catalog.finals_waiting_for(id(3), None, 9).await.unwrap(),
        []
    );
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
        catalog.finals_waiting_for(id(2), None, 9).await.unwrap(),
        [file(&*catalog, 3).await]
    );
    catalog
        .fail(id(3), "a part failed".to_owned(), 9)
        .await
        .unwrap();
    assert_eq!(
        catalog.finals_waiting_for(id(1), None, 9).await.unwrap(),
        []
    );
}

pub async fn finals_that_wait_come_page_by_page(Examined { catalog, .. }: Examined) {
    catalog
        .create(new(FileRecord {
            kind: Kind::Partial,
            ..receiving(1)
        }))
        .await
        .unwrap();
    // Their ids go down while their age goes up: the order is that in which they were made.
    for number in [5, 4, 3] {
        catalog.create(new(joining(number, &[1]))).await.unwrap();
    }
    let after = async |after, limit| -> Vec<FileId> {
        let page = catalog.finals_waiting_for(id(1), after, limit).await;
        page.unwrap().into_iter().map(|file| file.file_id).collect()
    };
    assert_eq!(after(None, 2).await, [id(5), id(4)]);
    assert_eq!(after(Some(id(4)), 2).await, [id(3)]);
    assert_eq!(after(Some(id(3)), 2).await, Vec::<FileId>::new());
    catalog.delete(id(4)).await.unwrap().unwrap();
    assert_eq!(
        after(Some(id(4)), 2).await,
        [id(5), id(3)],
        "from the first one on, where the last one seen is gone"
    );
}

pub async fn a_part_that_comes_further_keeps_its_family_alive(Examined { catalog, .. }: Examined) {
    let part = |number, expires_at| {
        new(FileRecord {
            kind: Kind::Partial,
            expires_at: Some(expires_at),
            ..receiving(number)
        })
    };
    let expiry = async |number| file(&*catalog, number).await.expires_at;
    for (number, expires_at) in [(1, 100), (2, 200), (3, 100), (4, 100)] {
        catalog.create(part(number, expires_at)).await.unwrap();
    }
    catalog
        .complete(Completion {
            expires_at: Some(150),
            ..completion(3, vec![segment(3, 100)])
        })
        .await
        .unwrap();
    let whole = FileRecord {
        expires_at: Some(180),
        ..joining(5, &[1, 2, 3])
    };
    catalog.create(new(whole)).await.unwrap();
    assert_eq!(expiry(1).await, Some(180), "a final keeps its parts");
    assert_eq!(expiry(2).await, Some(200), "and takes nothing from them");
    assert_eq!(expiry(3).await, Some(180), "complete ones, too");
    let came = |number, updated_at, expires_at| Checkpoint {
        updated_at,
        expires_at: Some(expires_at),
        ..at(number, 10)
    };
    catalog.checkpoint(came(1, 800, 1_600)).await.unwrap();
    for number in [1, 2, 3, 5] {
        assert_eq!(expiry(number).await, Some(1_600), "{number}");
    }
    assert_eq!(expiry(4).await, Some(100), "another's part");
    catalog.checkpoint(came(1, 810, 1_610)).await.unwrap();
    assert_eq!(
        expiry(5).await,
        Some(1_600),
        "not for an eighth of the time"
    );
    catalog
        .complete(Completion {
            completed_at: 2_000,
            expires_at: Some(2_800),
            ..completion(2, vec![segment(2, 100)])
        })
        .await
        .unwrap();
    for number in [1, 2, 3, 5] {
        assert_eq!(expiry(number).await, Some(2_800), "{number}");
    }
    // A final that does not wait any more keeps nothing alive.
    catalog.fail(id(5), "why".to_owned(), 9).await.unwrap();
    catalog.checkpoint(came(1, 8_000, 16_000)).await.unwrap();
    assert_eq!(expiry(2).await, Some(2_800));
}

pub async fn a_final_is_not_joined_from_what_is_gone_or_different(
    Examined { catalog, .. }: Examined,
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
