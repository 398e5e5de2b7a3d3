//! Virtual keys.

use std::collections::BTreeMap;

use weir::limits::{Limits, LimitsPatch, Priority};
use weir::store::keys::{self, KeyHash, KeyPatch, KeyRow, NewSecret};
use weir::store::{Db, StoreErrorKind};

use super::{NOW, on_both_engines};

on_both_engines!(
    a_key_is_kept_whole,
    a_patch_changes_what_it_names,
    rotation_replaces_the_secret,
    revocation_is_for_good,
    an_id_or_a_hash_is_used_once,
    a_key_that_is_not_there_is_none,
    keys_are_listed_in_pages,
    a_poller_sees_every_change_of_many_writers,
);

fn key(n: u8) -> KeyRow {
    KeyRow {
        id: format!("key_{n:03}"),
        name: "production".to_owned(),
        hash: KeyHash([n; 32]),
        prefix: "sk-weir-3fK".to_owned(),
        last4: "x9Zq".to_owned(),
        models: vec!["demo/*".to_owned(), "gpt-*".to_owned()],
        team_id: Some("team".to_owned()),
        user_id: None,
        organization_id: Some("org".to_owned()),
        limits: Limits {
            rps: Some(1),
            rpm: Some(60),
            rph: Some(3),
            rpd: Some(4),
            tps: Some(5),
            tpm: Some(u64::try_from(i64::MAX).unwrap()),
            tph: Some(7),
            tpd: Some(8),
            concurrency: None,
        },
        priority: Priority::High,
        expires_at: Some(NOW + 1),
        revoked_at: None,
        metadata: Some(r#"{"cost_center":"a1"}"#.to_owned()),
        created_at: NOW,
        updated_at: NOW,
        rev: 0,
    }
}

/// JSONB has its own spacing.
fn same_json(mut row: KeyRow) -> KeyRow {
    row.metadata = row.metadata.map(|m| serde_json::from_str::<serde_json::Value>(&m).unwrap().to_string());
    row
}

async fn a_key_is_kept_whole(db: &Db) {
    let rev = keys::insert(db, &key(1)).await.unwrap();
    let expected = KeyRow { rev, ..key(1) };
    assert_eq!(keys::get(db, "key_001").await.unwrap().map(same_json), Some(expected.clone()));
    assert_eq!(keys::by_hash(db, &KeyHash([1; 32])).await.unwrap().map(same_json), Some(expected));
    assert_eq!(keys::current_rev(db).await.unwrap(), rev);
}

async fn a_patch_changes_what_it_names(db: &Db) {
    keys::insert(db, &key(1)).await.unwrap();
    let patch = KeyPatch {
        name: Some("renamed".to_owned()),
        limits: LimitsPatch { rpm: Some(None), tpd: Some(Some(9)), ..LimitsPatch::default() },
        priority: Some(Priority::Low),
        user_id: Some(Some("ann".to_owned())),
        ..KeyPatch::default()
    };
    let changed = keys::update(db, "key_001", patch, NOW + 5).await.unwrap().expect("exists");
    let expected = KeyRow {
        name: "renamed".to_owned(),
        limits: Limits { rpm: None, tpd: Some(9), ..key(1).limits },
        priority: Priority::Low,
        user_id: Some("ann".to_owned()),
        updated_at: NOW + 5,
        rev: 2,
        ..key(1)
    };
    assert_eq!(same_json(changed), expected);
    assert_eq!(keys::get(db, "key_001").await.unwrap().map(same_json), Some(expected));

    let bad = KeyPatch { metadata: Some(Some("{".to_owned())), ..KeyPatch::default() };
    assert_eq!(keys::update(db, "key_001", bad, NOW).await.unwrap_err().kind(), StoreErrorKind::Invalid);
    assert_eq!(keys::current_rev(db).await.unwrap(), 2);
}

async fn rotation_replaces_the_secret(db: &Db) {
    keys::insert(db, &key(1)).await.unwrap();
    let secret = NewSecret { hash: KeyHash([9; 32]), prefix: "sk-weir-9aa".to_owned(), last4: "0000".to_owned() };
    let rotated = keys::rotate(db, "key_001", secret, NOW + 1).await.unwrap().expect("exists");
    assert_eq!((rotated.hash, rotated.last4.as_str(), rotated.rev), (KeyHash([9; 32]), "0000", 2));
    assert_eq!(keys::by_hash(db, &KeyHash([1; 32])).await.unwrap(), None);
    assert!(keys::by_hash(db, &KeyHash([9; 32])).await.unwrap().is_some());
}

async fn revocation_is_for_good(db: &Db) {
    keys::insert(db, &key(1)).await.unwrap();
    keys::revoke(db, "key_001", NOW + 1).await.unwrap();
    keys::revoke(db, "key_001", NOW + 2).await.unwrap();
    let secret = NewSecret { hash: KeyHash([9; 32]), prefix: String::new(), last4: String::new() };
    let row = keys::rotate(db, "key_001", secret, NOW + 3).await.unwrap().expect("exists");
    assert_eq!(row.revoked_at, Some(NOW + 1));
}

async fn an_id_or_a_hash_is_used_once(db: &Db) {
    keys::insert(db, &key(1)).await.unwrap();
    for again in [key(1), KeyRow { id: "key_002".to_owned(), ..key(1) }, KeyRow { hash: KeyHash([2; 32]), ..key(1) }] {
        assert_eq!(keys::insert(db, &again).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    }
    // A refused write leaves neither a gap nor a lock behind.
    assert_eq!(keys::insert(db, &key(2)).await.unwrap(), 2);
}

async fn a_key_that_is_not_there_is_none(db: &Db) {
    assert_eq!(keys::get(db, "no").await.unwrap(), None);
    assert_eq!(keys::by_hash(db, &KeyHash([0; 32])).await.unwrap(), None);
    assert_eq!(keys::update(db, "no", KeyPatch::default(), NOW).await.unwrap(), None);
    assert_eq!(keys::revoke(db, "no\0", NOW).await.unwrap(), None);
    assert_eq!(keys::current_rev(db).await.unwrap(), 0);
}

async fn keys_are_listed_in_pages(db: &Db) {
    for n in 0..5 {
        keys::insert(db, &key(n)).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = keys::list(db, after.as_deref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|key| key.id));
    }
    assert_eq!(seen, ["key_000", "key_001", "key_002", "key_003", "key_004"]);
}

/// Writers bump the revision while a poller asks for what is new, as replicas do. The poller ends up
/// with every key's last state, so no change can have slipped below a revision it had passed.
async fn a_poller_sees_every_change_of_many_writers(db: &Db) {
    const WRITERS: u8 = 4;
    const CHANGES: u8 = 10;
    let write = |n: u8| async move {
        keys::insert(db, &key(n)).await.unwrap();
        for i in 0..CHANGES {
            let limits = LimitsPatch { rpm: Some(Some(u64::from(i))), ..LimitsPatch::default() };
            let patch = KeyPatch { limits, ..KeyPatch::default() };
            keys::update(db, &format!("key_{n:03}"), patch, NOW).await.unwrap();
        }
    };
    let poll = async {
        let (mut last, mut seen) = (0, BTreeMap::new());
        while last < i64::from(WRITERS) * i64::from(CHANGES + 1) {
            for key in keys::changed_since(db, last, 3).await.unwrap() {
                assert!(key.rev > last, "revisions arrive in order");
                last = key.rev;
                seen.insert(key.id.clone(), key);
            }
            tokio::task::yield_now().await;
        }
        seen
    };
    let (_, seen) = futures_util::future::join(futures_util::future::join_all((0..WRITERS).map(write)), poll).await;
    assert_eq!(seen.len(), usize::from(WRITERS));
    for (id, row) in seen {
        assert_eq!(keys::get(db, &id).await.unwrap(), Some(row));
    }
}
