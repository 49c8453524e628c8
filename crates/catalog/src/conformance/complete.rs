//! Cases about one file from its end on: complete, failed or damaged.

use super::Examined;
use super::material::{at, completion, file, id, new, receiving, refused, segment, small, wide};
use crate::{Checkpoint, Completion, ErrorKind, FileRecord, Kind, State, Totals};

pub async fn a_complete_file_is_final(Examined { catalog, .. }: Examined) {
    catalog.create(new(receiving(1))).await.unwrap();
    catalog.checkpoint(at(1, 60)).await.unwrap();
    let last = Completion {
        sha256: Some(wide(33)),
        expires_at: Some(8_000),
        ..completion(1, vec![segment(1, 60), segment(2, 40)])
    };
    catalog.complete(last.clone()).await.unwrap();
    let expected = FileRecord {
        state: State::Complete,
        offset_bytes: 100,
        digest_state: Vec::new(),
        crc64: 5,
        blake3: Some(wide(1)),
        sha256: Some(wide(33)),
        updated_at: 3_000,
        completed_at: Some(3_000),
        expires_at: Some(8_000),
        segments: vec![segment(1, 60), segment(2, 40)],
        ..receiving(1)
    };
    assert_eq!(file(&*catalog, 1).await, expected);
    assert_eq!(
        catalog.file_by_upload_key(wide(1)).await.unwrap().as_ref(),
        Some(&expected)
    );
    assert_eq!(refused(catalog.complete(last)).await, ErrorKind::Gone);
    assert_eq!(
        refused(catalog.fail(id(1), "no".to_owned(), 9)).await,
        ErrorKind::Gone
    );
    assert_eq!(
        refused(catalog.complete(completion(2, Vec::new()))).await,
        ErrorKind::Gone
    );
    assert_eq!(file(&*catalog, 1).await, expected);
}

pub async fn an_upload_may_end_inline(Examined { catalog, .. }: Examined) {
    catalog.create(new(receiving(1))).await.unwrap();
    let bytes = vec![9; 100];
    let last = Completion {
        length_bytes: 100,
        inline: Some(bytes.clone()),
        ..completion(1, Vec::new())
    };
    catalog.complete(last).await.unwrap();
    let record = file(&*catalog, 1).await;
    assert_eq!((record.inline, record.segments), (true, Vec::new()));
    assert_eq!(catalog.inline(id(1)).await.unwrap(), Some(bytes));
    assert_eq!(
        catalog.pending_deletions(9).await.unwrap(),
        [id(1)],
        "its segment is not needed any more"
    );
}

pub async fn a_completion_must_agree_with_the_record(Examined { catalog, .. }: Examined) {
    catalog.create(new(receiving(1))).await.unwrap();
    catalog
        .create(new(FileRecord {
            length_bytes: None,
            ..receiving(2)
        }))
        .await
        .unwrap();
    catalog.checkpoint(at(2, 60)).await.unwrap();
    let wrong = [
        completion(1, vec![segment(1, 99)]),
        Completion {
            length_bytes: 100,
            ..completion(1, vec![segment(1, 99)])
        },
        Completion {
            length_bytes: 100,
            inline: Some(vec![0; 99]),
            ..completion(1, Vec::new())
        },
        Completion {
            inline: Some(vec![0; 100]),
            ..completion(1, vec![segment(1, 100)])
        },
        completion(2, vec![segment(2, 59)]),
    ];
    for last in wrong {
        assert_eq!(
            refused(catalog.complete(last.clone())).await,
            ErrorKind::Invalid,
            "{last:?}"
        );
    }
    assert_eq!(file(&*catalog, 1).await, receiving(1));
    catalog
        .complete(completion(2, vec![segment(2, 61)]))
        .await
        .unwrap();
    assert_eq!(file(&*catalog, 2).await.length_bytes, Some(61));
}

pub async fn a_failed_file_keeps_its_record(Examined { catalog, .. }: Examined) {
    assert_eq!(
        refused(catalog.fail(id(1), "no".to_owned(), 9)).await,
        ErrorKind::Gone
    );
    catalog.create(new(receiving(1))).await.unwrap();
    catalog
        .checkpoint(Checkpoint {
            expires_at: Some(7_000),
            ..at(1, 60)
        })
        .await
        .unwrap();
    catalog
        .fail(id(1), "the digest differs".to_owned(), 5_000)
        .await
        .unwrap();
    let expected = FileRecord {
        state: State::Failed,
        offset_bytes: 60,
        crc64: u64::MAX - 60,
        updated_at: 5_000,
        expires_at: Some(7_000),
        failure: Some("the digest differs".to_owned()),
        ..receiving(1)
    };
    assert_eq!(file(&*catalog, 1).await, expected);
    assert_eq!(
        refused(catalog.fail(id(1), "no".to_owned(), 9)).await,
        ErrorKind::Gone
    );
    assert_eq!(
        refused(catalog.complete(completion(1, vec![segment(1, 100)]))).await,
        ErrorKind::Gone
    );
    assert_eq!(catalog.expired(7_000, 0, 9).await.unwrap(), [id(1)]);
}

pub async fn digests_are_filled_in_once(Examined { catalog, .. }: Examined) {
    for (number, completed_at) in [(1, 30), (2, 10), (3, 20)] {
        catalog.create(new(receiving(number))).await.unwrap();
        let last = completion(number, vec![segment(number, 100)]);
        catalog
            .complete(Completion {
                blake3: None,
                completed_at,
                ..last
            })
            .await
            .unwrap();
    }
    catalog
        .create(new(FileRecord {
            kind: Kind::Partial,
            ..receiving(4)
        }))
        .await
        .unwrap();
    catalog
        .complete(Completion {
            blake3: None,
            ..completion(4, vec![segment(4, 100)])
        })
        .await
        .unwrap();
    let pending =
        |files: Vec<FileRecord>| files.iter().map(|file| file.file_id).collect::<Vec<_>>();
    assert_eq!(
        pending(catalog.pending_digests(9).await.unwrap()),
        [id(2), id(3), id(1)]
    );
    assert_eq!(pending(catalog.pending_digests(1).await.unwrap()), [id(2)]);
    catalog.set_digest(id(2), wide(60), None).await.unwrap();
    catalog
        .set_digest(id(2), wide(60), Some(wide(61)))
        .await
        .unwrap();
    assert_eq!(
        refused(catalog.set_digest(id(2), wide(62), None)).await,
        ErrorKind::Invalid
    );
    assert_eq!(
        refused(catalog.set_digest(id(2), wide(60), Some(wide(62)))).await,
        ErrorKind::Invalid
    );
    let record = file(&*catalog, 2).await;
    assert_eq!(
        (record.blake3, record.sha256),
        (Some(wide(60)), Some(wide(61)))
    );
    assert_eq!(
        pending(catalog.pending_digests(9).await.unwrap()),
        [id(3), id(1)]
    );
    assert_eq!(
        refused(catalog.set_digest(id(9), wide(60), None)).await,
        ErrorKind::Gone
    );
    catalog.create(new(receiving(5))).await.unwrap();
    assert_eq!(
        refused(catalog.set_digest(id(5), wide(60), None)).await,
        ErrorKind::Gone
    );
}

pub async fn limits_of_a_complete_file_may_change(Examined { catalog, .. }: Examined) {
    catalog.create(small(1, b"abc")).await.unwrap();
    catalog
        .set_limits(id(1), Some(1), Some(5_000))
        .await
        .unwrap();
    let record = file(&*catalog, 1).await;
    assert_eq!(
        (record.max_downloads, record.expires_at),
        (Some(1), Some(5_000))
    );
    assert!(catalog.count_download(id(1), 1).await.unwrap());
    assert!(!catalog.count_download(id(1), 1).await.unwrap());
    catalog.set_limits(id(1), None, None).await.unwrap();
    assert!(catalog.count_download(id(1), i64::MAX).await.unwrap());
    catalog.create(new(receiving(2))).await.unwrap();
    for there in [2, 3] {
        assert_eq!(
            refused(catalog.set_limits(id(there), None, None)).await,
            ErrorKind::Gone
        );
    }
}

pub async fn a_damaged_file_says_so_and_gets_no_digest(Examined { catalog, .. }: Examined) {
    let damage = async |number, what: &str| catalog.set_damage(id(number), what.to_owned()).await;
    assert_eq!(
        damage(1, "lost").await.unwrap_err().kind(),
        ErrorKind::Gone,
        "there is none"
    );
    catalog.create(new(receiving(1))).await.unwrap();
    assert_eq!(
        damage(1, "lost").await.unwrap_err().kind(),
        ErrorKind::Gone,
        "it is not complete"
    );
    catalog
        .complete(Completion {
            blake3: None,
            ..completion(1, vec![segment(1, 100)])
        })
        .await
        .unwrap();
    assert_eq!(catalog.totals().await.unwrap().damaged, 0);
    damage(1, "lost").await.unwrap();
    damage(1, "again").await.unwrap();
    assert_eq!(
        file(&*catalog, 1).await.damage.as_deref(),
        Some("lost"),
        "the first mark stays"
    );
    assert_eq!(catalog.totals().await.unwrap().damaged, 1);
    assert_eq!(catalog.pending_digests(9).await.unwrap(), []);
    assert_eq!(
        refused(catalog.set_digest(id(1), wide(7), None)).await,
        ErrorKind::Gone
    );
    let found = catalog.files_of_segment(id(1), 9).await.unwrap();
    assert_eq!(found, [file(&*catalog, 1).await]);
    assert_eq!(catalog.files_of_segment(id(2), 9).await.unwrap(), []);
    catalog.delete(id(1)).await.unwrap().unwrap();
    assert_eq!(catalog.totals().await.unwrap().damaged, 0);
}

pub async fn downloads_are_counted_up_to_their_maximum(Examined { catalog, .. }: Examined) {
    let mut twice = small(1, b"abc");
    twice.record.max_downloads = Some(2);
    twice.record.expires_at = Some(5_000);
    catalog.create(twice).await.unwrap();
    assert!(catalog.count_download(id(1), 4_999).await.unwrap());
    assert!(
        !catalog.count_download(id(1), 5_000).await.unwrap(),
        "it has expired"
    );
    let (one, two) = futures_util::future::join(
        catalog.count_download(id(1), 1),
        catalog.count_download(id(1), 1),
    )
    .await;
    assert_eq!(
        (one.unwrap(), two.unwrap()),
        (true, false),
        "only one gets the last download"
    );
    assert_eq!(file(&*catalog, 1).await.downloads, 2);
    catalog.create(small(2, b"abc")).await.unwrap();
    for _ in 0..3 {
        assert!(catalog.count_download(id(2), i64::MAX).await.unwrap());
    }
    catalog.create(new(receiving(3))).await.unwrap();
    assert_eq!(
        refused(catalog.count_download(id(3), 1)).await,
        ErrorKind::NotFound
    );
    assert_eq!(
        refused(catalog.count_download(id(4), 1)).await,
        ErrorKind::NotFound
    );
}

pub async fn totals_follow_each_change(Examined { catalog, .. }: Examined) {
    let totals = |files, bytes, unfinished| Totals {
        damaged: 0,
        files,
        bytes,
        unfinished,
    };
    assert_eq!(catalog.totals().await.unwrap(), totals(0, 0, 0));
    catalog.create(small(1, b"abc")).await.unwrap();
    catalog.create(new(receiving(2))).await.unwrap();
    catalog.create(new(receiving(3))).await.unwrap();
    catalog
        .create(new(FileRecord {
            kind: Kind::Partial,
            ..receiving(4)
        }))
        .await
        .unwrap();
    assert_eq!(catalog.totals().await.unwrap(), totals(1, 3, 3));
    catalog
        .complete(completion(2, vec![segment(2, 100)]))
        .await
        .unwrap();
    catalog.fail(id(3), "why".to_owned(), 9).await.unwrap();
    catalog
        .complete(completion(4, vec![segment(4, 100)]))
        .await
        .unwrap();
    assert_eq!(
        catalog.totals().await.unwrap(),
        totals(2, 103, 0),
        "a part is not a file to be had"
    );
    for number in 1..=4 {
        catalog.delete(id(number)).await.unwrap().unwrap();
    }
    assert_eq!(catalog.totals().await.unwrap(), totals(0, 0, 0));
}

pub async fn what_an_owner_has_unfinished_follows_each_change(Examined { catalog, .. }: Examined) {
    let of = |number: u32, owner: &str, length_bytes| FileRecord {
        owner: owner.to_owned(),
        length_bytes,
        ..receiving(number)
    };
    let owed = async |owner: &str| {
        let owed = catalog.owner_totals(owner.to_owned()).await.unwrap();
        (owed.unfinished, owed.promised_bytes)
    };
    assert_eq!(owed("a").await, (0, 0));
    for record in [
        of(1, "a", Some(100)),
        of(2, "a", None),
        of(3, "a", Some(7)),
        of(4, "b", Some(1)),
    ] {
        catalog.create(new(record)).await.unwrap();
    }
    assert_eq!((owed("a").await, owed("b").await), ((3, 107), (1, 1)));
    let told = Checkpoint {
        file_id: id(2),
        length_bytes: Some(50),
        ..Checkpoint::default()
    };
    catalog.checkpoint(told).await.unwrap();
    assert_eq!(owed("a").await, (3, 157));
    catalog
        .complete(completion(1, vec![segment(1, 100)]))
        .await
        .unwrap();
    assert_eq!(owed("a").await, (2, 57));
    catalog.fail(id(3), "why".to_owned(), 9).await.unwrap();
    assert_eq!(owed("a").await, (1, 50));
    for number in 1..=3 {
        catalog.delete(id(number)).await.unwrap().unwrap();
    }
    assert_eq!((owed("a").await, owed("b").await), ((0, 0), (1, 1)));
    catalog.check().await.unwrap();
}
