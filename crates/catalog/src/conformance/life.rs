//! Cases about one file until it is complete.

use super::Examined;
use super::material::{at, completion, file, id, new, receiving, refused, segment, small, wide};
use crate::{Checkpoint, ErrorKind, FileRecord, Kind, NewFile, State};
use ddx_id::KeyHash;

pub async fn a_record_reads_back_as_it_was_written(Examined { catalog, .. }: Examined) {
    let record = FileRecord {
        path: "Ordner/ñ \u{0} ' \" %.txt".to_owned(),
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        metadata: "filename d29ybGQ=,empty".to_owned(),
        sealed_metadata: Some("MnJaxLmB".to_owned()),
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
        catalog.file_by_upload_key(wide(1)).await.unwrap().as_ref(),
        Some(&record)
    );
    assert_eq!(
        catalog.file_by_delete_key(wide(1)).await.unwrap().as_ref(),
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
    assert_eq!(
        catalog.share_files(id(1), None, 9).await.unwrap(),
        [record.into()]
    );
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

pub async fn a_file_without_keys_is_found_by_none(Examined { catalog, .. }: Examined) {
    for number in [1, 2] {
        let keyless = FileRecord {
            upload_key_hash: KeyHash::NONE,
            delete_key_hash: KeyHash::NONE,
            ..receiving(number)
        };
        catalog.create(new(keyless)).await.unwrap();
    }
    assert_eq!(
        catalog.file_by_upload_key(KeyHash::NONE).await.unwrap(),
        None
    );
    assert_eq!(
        catalog.file_by_delete_key(KeyHash::NONE).await.unwrap(),
        None
    );
    assert_eq!(file(&*catalog, 2).await.upload_key_hash, KeyHash::NONE);
}

pub async fn a_small_file_comes_complete_with_its_bytes(Examined { catalog, .. }: Examined) {
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

pub async fn a_record_that_contradicts_itself_is_refused(Examined { catalog, .. }: Examined) {
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

pub async fn an_offset_never_goes_back(Examined { catalog, .. }: Examined) {
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

pub async fn a_checkpoint_may_bring_length_and_segments(Examined { catalog, .. }: Examined) {
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
    assert_eq!(catalog.pending_deletions(9).await.unwrap(), [id(8)]);
}

pub async fn a_checkpoint_without_an_expiry_leaves_it(Examined { catalog, .. }: Examined) {
    let record = FileRecord {
        expires_at: Some(9_000),
        ..receiving(1)
    };
    catalog.create(new(record)).await.unwrap();
    catalog.checkpoint(at(1, 10)).await.unwrap();
    assert_eq!(file(&*catalog, 1).await.expires_at, Some(9_000));
}

pub async fn a_reservation_is_told_until_the_first_byte(Examined { catalog, .. }: Examined) {
    let reserved = |number: u32, updated_at| FileRecord {
        segments: vec![segment(number, 0)],
        updated_at,
        ..receiving(number)
    };
    for (number, updated_at) in [(1, 3_000), (2, 1_000), (3, 2_000), (4, 4_000)] {
        catalog
            .create(new(reserved(number, updated_at)))
            .await
            .unwrap();
    }
    let nothing = FileRecord {
        segments: Vec::new(),
        ..receiving(5)
    };
    catalog.create(new(nothing)).await.unwrap();
    let told = async |before| catalog.reserved_unbegun(before, 9).await.unwrap();
    assert_eq!(told(4_000).await, [id(2), id(3), id(1)], "the oldest first");
    assert_eq!(catalog.reserved_unbegun(4_000, 1).await.unwrap(), [id(2)]);
    // A checkpoint without a byte renews nothing; the first byte, and giving it up, end it.
    catalog.checkpoint(at(2, 0)).await.unwrap();
    catalog.checkpoint(at(3, 1)).await.unwrap();
    let given_up = Checkpoint {
        segments: Some(Vec::new()),
        ..at(1, 0)
    };
    catalog.checkpoint(given_up).await.unwrap();
    assert_eq!(told(4_000).await, [id(2)]);
    let anew = Checkpoint {
        segments: Some(vec![segment(6, 0)]),
        updated_at: 5_000,
        ..at(1, 0)
    };
    catalog.checkpoint(anew).await.unwrap();
    catalog.fail(id(2), "gone".to_owned(), 5_000).await.unwrap();
    assert_eq!(told(9_000).await, [id(4), id(1)]);
}

pub async fn only_a_receiving_file_is_checkpointed(Examined { catalog, .. }: Examined) {
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
