//! Cases about the life of one file.

use super::{at, completion, file, id, new, receiving, refused, segment, small};
use crate::{Catalog, Checkpoint, Completion, ErrorKind, FileRecord, Kind, NewFile, State, Totals};
use std::sync::Arc;

pub(super) async fn a_record_reads_back_as_it_was_written(catalog: Arc<dyn Catalog>) {
    let record = FileRecord {
        path: "Ordner/ñ \u{0} ' \" %.txt".to_owned(),
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        metadata: "filename d29ybGQ=,empty".to_owned(),
        length_bytes: Some(i64::MAX.unsigned_abs()),
        offset_bytes: 1 << 40,
        digest_state: (0..=255).collect(),
        crc64: u64::MAX,
        created_at: -5,
        updated_at: 6,
        expires_at: Some(i64::MAX),
        max_downloads: Some(3),
        segments: vec![segment(1, 0), segment(2, 1 << 40)],
        ..receiving(1)
    };
    catalog.create(new(record.clone())).await.unwrap();
    assert_eq!(catalog.file(id(1)).await.unwrap().as_ref(), Some(&record));
    assert_eq!(
        catalog.file_by_upload_key(id(1)).await.unwrap().as_ref(),
        Some(&record)
    );
    assert_eq!(
        catalog.file_by_delete_key(id(1)).await.unwrap().as_ref(),
        Some(&record)
    );
    assert_eq!(
        catalog
            .file_by_path(id(1), record.path.clone())
            .await
            .unwrap()
            .as_ref(),
        Some(&record)
    );
    assert_eq!(catalog.share_files(id(1), None, 9).await.unwrap(), [record]);
    assert_eq!(catalog.file(id(2)).await.unwrap(), None);
    let too_long = FileRecord {
        length_bytes: Some(u64::MAX),
        ..receiving(2)
    };
    assert_eq!(
        refused(catalog.create(new(too_long))).await,
        ErrorKind::Invalid
    );
}

pub(super) async fn a_file_without_keys_is_found_by_none(catalog: Arc<dyn Catalog>) {
    for number in [1, 2] {
        let keyless = FileRecord {
            upload_key_hash: [0; 32],
            delete_key_hash: [0; 32],
            ..receiving(number)
        };
        catalog.create(new(keyless)).await.unwrap();
    }
    assert_eq!(catalog.file_by_upload_key([0; 32]).await.unwrap(), None);
    assert_eq!(catalog.file_by_delete_key([0; 32]).await.unwrap(), None);
    assert_eq!(file(&*catalog, 2).await.upload_key_hash, [0; 32]);
}

pub(super) async fn a_small_file_comes_complete_with_its_bytes(catalog: Arc<dyn Catalog>) {
    let bytes: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    let new_file = small(1, &bytes);
    catalog.create(new_file.clone()).await.unwrap();
    assert_eq!(
        file(&*catalog, 1).await,
        FileRecord {
            inline: true,
            ..new_file.record
        }
    );
    assert_eq!(catalog.inline(id(1)).await.unwrap(), Some(bytes));
    catalog.create(small(2, b"")).await.unwrap();
    assert_eq!(catalog.inline(id(2)).await.unwrap(), Some(Vec::new()));
    catalog.create(new(receiving(3))).await.unwrap();
    assert_eq!(catalog.inline(id(3)).await.unwrap(), None);
    assert_eq!(catalog.inline(id(4)).await.unwrap(), None);
}

pub(super) async fn a_record_that_contradicts_itself_is_refused(catalog: Arc<dyn Catalog>) {
    let inline = Some(b"abc".to_vec());
    let complete = small(1, b"abc").record;
    let records = [
        new(FileRecord {
            state: State::Failed,
            ..receiving(1)
        }),
        new(FileRecord {
            state: State::Joining,
            ..receiving(1)
        }),
        new(FileRecord {
            kind: Kind::Final,
            ..receiving(1)
        }),
        new(FileRecord {
            offset_bytes: 101,
            ..receiving(1)
        }),
        new(FileRecord {
            parts: vec![id(5)],
            ..receiving(1)
        }),
        new(FileRecord {
            completed_at: Some(1),
            ..receiving(1)
        }),
        NewFile {
            inline: inline.clone(),
            ..new(receiving(1))
        },
        new(complete.clone()), // neither inline bytes nor segments
        new(FileRecord {
            segments: vec![segment(1, 4)],
            ..complete.clone()
        }),
        NewFile {
            inline: inline.clone(),
            ..new(FileRecord {
                segments: vec![segment(1, 0)],
                ..complete.clone()
            })
        },
        NewFile {
            inline: inline.clone(),
            ..new(FileRecord {
                completed_at: None,
                ..complete.clone()
            })
        },
        NewFile {
            inline: inline.clone(),
            ..new(FileRecord {
                offset_bytes: 2,
                ..complete.clone()
            })
        },
        NewFile {
            inline: inline.clone(),
            ..new(FileRecord {
                length_bytes: None,
                ..complete.clone()
            })
        },
        NewFile {
            inline: inline.clone(),
            ..new(FileRecord {
                kind: Kind::Partial,
                ..complete.clone()
            })
        },
        NewFile {
            inline: Some(b"ab".to_vec()),
            ..new(complete)
        },
    ];
    for record in records {
        assert_eq!(
            refused(catalog.create(record.clone())).await,
            ErrorKind::Invalid,
            "{record:?}"
        );
    }
    assert_eq!(catalog.file(id(1)).await.unwrap(), None);
    assert_eq!(catalog.share(id(1)).await.unwrap(), None);
}

pub(super) async fn an_offset_never_goes_back(catalog: Arc<dyn Catalog>) {
    catalog.create(new(receiving(1))).await.unwrap();
    let mut expected = FileRecord {
        offset_bytes: 40,
        digest_state: vec![7; 40],
        crc64: u64::MAX - 40,
        updated_at: 2_000,
        expires_at: Some(9_000),
        ..receiving(1)
    };
    catalog
        .checkpoint(Checkpoint {
            expires_at: Some(9_000),
            ..at(1, 40)
        })
        .await
        .unwrap();
    assert_eq!(file(&*catalog, 1).await, expected);
    assert_eq!(
        refused(catalog.checkpoint(at(1, 39))).await,
        ErrorKind::Invalid
    );
    assert_eq!(
        refused(catalog.checkpoint(at(1, 101))).await,
        ErrorKind::Invalid
    );
    assert_eq!(file(&*catalog, 1).await, expected);
    catalog
        .checkpoint(Checkpoint {
            updated_at: 2_500,
            expires_at: Some(9_500),
            ..at(1, 40)
        })
        .await
        .unwrap();
    (expected.updated_at, expected.expires_at) = (2_500, Some(9_500));
    assert_eq!(file(&*catalog, 1).await, expected);
}

pub(super) async fn a_checkpoint_may_bring_length_and_segments(catalog: Arc<dyn Catalog>) {
    let unknown = FileRecord {
        length_bytes: None,
        segments: Vec::new(),
        ..receiving(1)
    };
    catalog.create(new(unknown)).await.unwrap();
    catalog
        .checkpoint(Checkpoint {
            segments: Some(vec![segment(8, 0)]),
            ..at(1, 10)
        })
        .await
        .unwrap();
    assert_eq!(file(&*catalog, 1).await.segments, [segment(8, 0)]);
    assert_eq!(file(&*catalog, 1).await.length_bytes, None);
    assert_eq!(
        refused(catalog.checkpoint(Checkpoint {
            length_bytes: Some(9),
            ..at(1, 10)
        }))
        .await,
        ErrorKind::Invalid
    );
    catalog
        .checkpoint(Checkpoint {
            length_bytes: Some(50),
            ..at(1, 10)
        })
        .await
        .unwrap();
    assert_eq!(file(&*catalog, 1).await.length_bytes, Some(50));
    assert_eq!(
        refused(catalog.checkpoint(Checkpoint {
            length_bytes: Some(51),
            ..at(1, 10)
        }))
        .await,
        ErrorKind::Invalid
    );
    catalog.checkpoint(at(1, 50)).await.unwrap();
    assert_eq!(
        file(&*catalog, 1).await.segments,
        [segment(8, 0)],
        "none given: they stay"
    );
    catalog
        .checkpoint(Checkpoint {
            segments: Some(vec![segment(9, 0)]),
            ..at(1, 50)
        })
        .await
        .unwrap();
    assert_eq!(file(&*catalog, 1).await.segments, [segment(9, 0)]);
    assert_eq!(catalog.doomed_segments(9).await.unwrap(), [id::<16>(8)]);
}

pub(super) async fn only_a_receiving_file_is_checkpointed(catalog: Arc<dyn Catalog>) {
    assert_eq!(refused(catalog.checkpoint(at(1, 1))).await, ErrorKind::Gone);
    catalog.create(new(receiving(1))).await.unwrap();
    catalog
        .complete(completion(1, vec![segment(1, 100)]))
        .await
        .unwrap();
    assert_eq!(
        refused(catalog.checkpoint(at(1, 100))).await,
        ErrorKind::Gone
    );
    catalog.create(new(receiving(2))).await.unwrap();
    catalog.fail(id(2), "why".to_owned(), 5_000).await.unwrap();
    assert_eq!(
        refused(catalog.checkpoint(at(2, 100))).await,
        ErrorKind::Gone
    );
    let joining = FileRecord {
        kind: Kind::Final,
        state: State::Joining,
        segments: Vec::new(),
        ..receiving(3)
    };
    catalog.create(new(joining)).await.unwrap();
    assert_eq!(
        refused(catalog.checkpoint(at(3, 100))).await,
        ErrorKind::Gone
    );
}

pub(super) async fn a_complete_file_is_final(catalog: Arc<dyn Catalog>) {
    catalog.create(new(receiving(1))).await.unwrap();
    catalog.checkpoint(at(1, 60)).await.unwrap();
    let last = Completion {
        sha256: Some(id(33)),
        expires_at: Some(8_000),
        ..completion(1, vec![segment(1, 60), segment(2, 40)])
    };
    catalog.complete(last.clone()).await.unwrap();
    let expected = FileRecord {
        state: State::Complete,
        offset_bytes: 100,
        digest_state: Vec::new(),
        crc64: 5,
        blake3: Some(id(1)),
        sha256: Some(id(33)),
        updated_at: 3_000,
        completed_at: Some(3_000),
        expires_at: Some(8_000),
        segments: vec![segment(1, 60), segment(2, 40)],
        ..receiving(1)
    };
    assert_eq!(file(&*catalog, 1).await, expected);
    assert_eq!(
        catalog.file_by_upload_key(id(1)).await.unwrap().as_ref(),
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

pub(super) async fn an_upload_may_end_inline(catalog: Arc<dyn Catalog>) {
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
        catalog.doomed_segments(9).await.unwrap(),
        [id::<16>(1)],
        "its segment is not needed any more"
    );
}

pub(super) async fn a_completion_must_agree_with_the_record(catalog: Arc<dyn Catalog>) {
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

pub(super) async fn a_failed_file_keeps_its_record(catalog: Arc<dyn Catalog>) {
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
    assert_eq!(catalog.expired(7_000, 0, 9).await.unwrap(), [id::<16>(1)]);
}

pub(super) async fn digests_are_filled_in_once(catalog: Arc<dyn Catalog>) {
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
        [id::<16>(2), id(3), id(1)]
    );
    assert_eq!(
        pending(catalog.pending_digests(1).await.unwrap()),
        [id::<16>(2)]
    );
    catalog.set_digest(id(2), id(60), None).await.unwrap();
    catalog
        .set_digest(id(2), id(60), Some(id(61)))
        .await
        .unwrap();
    assert_eq!(
        refused(catalog.set_digest(id(2), id(62), None)).await,
        ErrorKind::Invalid
    );
    assert_eq!(
        refused(catalog.set_digest(id(2), id(60), Some(id(62)))).await,
        ErrorKind::Invalid
    );
    let record = file(&*catalog, 2).await;
    assert_eq!((record.blake3, record.sha256), (Some(id(60)), Some(id(61))));
    assert_eq!(
        pending(catalog.pending_digests(9).await.unwrap()),
        [id::<16>(3), id(1)]
    );
    assert_eq!(
        refused(catalog.set_digest(id(9), id(60), None)).await,
        ErrorKind::Gone
    );
    catalog.create(new(receiving(5))).await.unwrap();
    assert_eq!(
        refused(catalog.set_digest(id(5), id(60), None)).await,
        ErrorKind::Gone
    );
}

pub(super) async fn limits_of_a_complete_file_may_change(catalog: Arc<dyn Catalog>) {
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

pub(super) async fn a_damaged_file_says_so_and_gets_no_digest(catalog: Arc<dyn Catalog>) {
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
        refused(catalog.set_digest(id(1), id(7), None)).await,
        ErrorKind::Gone
    );
    let found = catalog.files_of_segment(id(1), 9).await.unwrap();
    assert_eq!(found, [file(&*catalog, 1).await]);
    assert_eq!(catalog.files_of_segment(id(2), 9).await.unwrap(), []);
    catalog.delete(id(1)).await.unwrap().unwrap();
    assert_eq!(catalog.totals().await.unwrap().damaged, 0);
}

pub(super) async fn downloads_are_counted_up_to_their_maximum(catalog: Arc<dyn Catalog>) {
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

pub(super) async fn totals_follow_each_change(catalog: Arc<dyn Catalog>) {
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
