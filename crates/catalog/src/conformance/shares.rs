//! Cases about shares and the files in them.

use super::Examined;
use super::material::{file, id, new, receiving, refused, small, wide};
use crate::{ErrorKind, FileRecord, FileSummary, NewFile, PAGE_TEXT_BYTES, ShareRecord};
use ddx_id::KeyHash;

pub async fn a_share_is_found_by_id_and_by_key(Examined { catalog, .. }: Examined) {
    let share = ShareRecord {
        share_id: id(1),
        share_key_hash: wide(2),
        created_at: 77,
    };
    catalog.create_share(share).await.unwrap();
    assert_eq!(catalog.share(id(1)).await.unwrap(), Some(share));
    assert_eq!(catalog.share_by_key(wide(2)).await.unwrap(), Some(share));
    assert_eq!(catalog.share(id(2)).await.unwrap(), None);
    assert_eq!(catalog.share_by_key(wide(1)).await.unwrap(), None);
    assert_eq!(catalog.share_files(id(1), None, 10).await.unwrap(), []);
    assert_eq!(catalog.share_files(id(9), None, 10).await.unwrap(), []);
}

pub async fn a_share_exists_once(Examined { catalog, .. }: Examined) {
    let share = ShareRecord {
        share_id: id(1),
        share_key_hash: wide(2),
        created_at: 77,
    };
    catalog.create_share(share).await.unwrap();
    let same_id = ShareRecord {
        share_key_hash: wide(3),
        ..share
    };
    let same_key = ShareRecord {
        share_id: id(3),
        ..share
    };
    assert_eq!(
        refused(catalog.create_share(same_id)).await,
        ErrorKind::Taken
    );
    assert_eq!(
        refused(catalog.create_share(same_key)).await,
        ErrorKind::Taken
    );
    for number in [4, 5] {
        let keyless = ShareRecord {
            share_id: id(number),
            share_key_hash: KeyHash::NONE,
            created_at: 77,
        };
        catalog.create_share(keyless).await.unwrap();
    }
    assert_eq!(catalog.share_by_key(KeyHash::NONE).await.unwrap(), None);
}

pub async fn a_file_makes_its_share(Examined { catalog, .. }: Examined) {
    let keyed = NewFile {
        share_key_hash: wide(50),
        ..new(receiving(1))
    };
    catalog.create(keyed).await.unwrap();
    let share = ShareRecord {
        share_id: id(1),
        share_key_hash: wide(50),
        created_at: 1_000,
    };
    assert_eq!(catalog.share(id(1)).await.unwrap(), Some(share));
    // Into a share that is there: its key stays.
    let second = FileRecord {
        share_id: id(1),
        ..receiving(2)
    };
    catalog
        .create(NewFile {
            share_key_hash: wide(51),
            ..new(second)
        })
        .await
        .unwrap();
    assert_eq!(catalog.share_by_key(wide(51)).await.unwrap(), None);
    assert_eq!(catalog.share(id(1)).await.unwrap(), Some(share));
    assert_eq!(catalog.share_files(id(1), None, 10).await.unwrap().len(), 2);
    // A share whose key exists is not made, nor is its file.
    assert_eq!(
        refused(catalog.create(NewFile {
            share_key_hash: wide(50),
            ..new(receiving(3))
        }))
        .await,
        ErrorKind::Taken
    );
    assert_eq!(catalog.file(id(3)).await.unwrap(), None);
    assert_eq!(catalog.share(id(3)).await.unwrap(), None);
}

pub async fn a_path_is_taken_once_in_a_share(Examined { catalog, .. }: Examined) {
    catalog.create(new(receiving(1))).await.unwrap();
    let same_path = FileRecord {
        share_id: id(1),
        path: "file-1".to_owned(),
        ..receiving(2)
    };
    assert_eq!(
        refused(catalog.create(new(same_path))).await,
        ErrorKind::Taken
    );
    let elsewhere = FileRecord {
        path: "file-1".to_owned(),
        ..receiving(2)
    };
    catalog.create(new(elsewhere)).await.unwrap();
    for twice in [
        FileRecord {
            file_id: id(1),
            ..receiving(3)
        },
        FileRecord {
            upload_key_hash: wide(1),
            ..receiving(3)
        },
        FileRecord {
            delete_key_hash: wide(1),
            ..receiving(3)
        },
    ] {
        assert_eq!(refused(catalog.create(new(twice))).await, ErrorKind::Taken);
        assert_eq!(
            catalog.share(id(3)).await.unwrap(),
            None,
            "a refused file leaves no share behind"
        );
    }
    let found = |share, path: &str| catalog.file_by_path(share, path.to_owned());
    assert_eq!(
        found(id(2), "file-1").await.unwrap(),
        Some(file(&*catalog, 2).await)
    );
    assert_eq!(found(id(2), "file-2").await.unwrap(), None);
    assert_eq!(found(id(7), "file-1").await.unwrap(), None);
}

pub async fn a_listing_goes_by_path_and_by_page(Examined { catalog, .. }: Examined) {
    let paths = ["Z", "a", "a/b", "a0", "b", "ä", "日"]; // in the order of their bytes
    for (number, path) in (1..).zip(["b", "ä", "a/b", "a", "日", "a0", "Z"]) {
        let record = FileRecord {
            share_id: id(100),
            path: path.to_owned(),
            ..receiving(number)
        };
        catalog.create(new(record)).await.unwrap();
    }
    catalog
        .create(small(50, b"in another share"))
        .await
        .unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = catalog
            .share_files(id(100), after.clone(), 3)
            .await
            .unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.path.clone());
        seen.extend(page.into_iter().map(|file| file.path));
    }
    assert_eq!(seen, paths);
    assert_eq!(
        catalog
            .share_files(id(100), None, u32::MAX)
            .await
            .unwrap()
            .len(),
        7
    );
    assert_eq!(
        catalog.share_files(id(100), None, 0).await.unwrap().len(),
        0
    );
}

pub async fn a_page_of_a_listing_ends_by_bytes(Examined { catalog, .. }: Examined) {
    for number in 1..=40 {
        let record = FileRecord {
            share_id: id(100),
            path: format!("{number:02}{}", "p".repeat(998)),
            metadata: "m".repeat(4_000),
            ..receiving(number)
        };
        catalog.create(new(record)).await.unwrap();
    }
    let (mut seen, mut after) = (0, None);
    loop {
        let page = catalog
            .share_files(id(100), after.clone(), 1_000)
            .await
            .unwrap();
        let text_bytes: usize = page.iter().map(FileSummary::text_bytes).sum();
        assert!(text_bytes < PAGE_TEXT_BYTES + 1_100, "{text_bytes}");
        let Some(last) = page.last() else { break };
        after = Some(last.path.clone());
        seen += page.len();
    }
    assert_eq!(seen, 40);
}

pub async fn shares_that_stay_empty_are_forgotten(Examined { catalog, .. }: Examined) {
    for (number, created_at) in [(1, 10), (2, 20), (3, 30), (4, 10)] {
        catalog
            .create_share(ShareRecord {
                share_id: id(number),
                share_key_hash: wide(number),
                created_at,
            })
            .await
            .unwrap();
    }
    catalog
        .create(new(FileRecord {
            share_id: id(4),
            ..receiving(9)
        }))
        .await
        .unwrap();
    assert_eq!(catalog.forget_empty_shares(30, 1).await.unwrap(), 1);
    assert_eq!(catalog.share(id(1)).await.unwrap(), None);
    assert_eq!(catalog.forget_empty_shares(30, 10).await.unwrap(), 1);
    assert_eq!(catalog.forget_empty_shares(30, 10).await.unwrap(), 0);
    assert!(
        catalog.share(id(3)).await.unwrap().is_some(),
        "it is not old enough"
    );
    assert!(
        catalog.share(id(4)).await.unwrap().is_some(),
        "it holds a file"
    );
}
