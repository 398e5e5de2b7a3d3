//! Owners of provider objects.

use weir::store::Db;
use weir::store::objects::{self, Object};

use super::{NOW, on_both_engines};

on_both_engines!(the_first_owner_stays, many_ids_are_asked_for_at_once);

fn object<'a>(provider: &'a str, object_id: &'a str, key_id: &'a str) -> Object<'a> {
    Object { provider, object_id, key_id, kind: "file", created_at: NOW }
}

async fn the_first_owner_stays(db: &Db) {
    assert!(objects::remember(db, &object("openai", "file-1", "key_a")).await.unwrap());
    assert!(!objects::remember(db, &object("openai", "file-1", "key_b")).await.unwrap());
    assert!(objects::remember(db, &object("azure", "file-1", "key_b")).await.unwrap());
    let owners = objects::owners(db, &["file-1", "file-2"]).await.unwrap();
    let found: Vec<_> = owners.iter().map(|o| (o.provider.as_str(), o.key_id.as_str(), o.kind.as_str())).collect();
    assert_eq!(found, [("azure", "key_b", "file"), ("openai", "key_a", "file")]);

    assert!(objects::forget(db, "openai", "file-1").await.unwrap());
    assert!(!objects::forget(db, "openai", "file-1").await.unwrap());
    assert_eq!(objects::owners(db, &["file-1"]).await.unwrap().len(), 1);
}

async fn many_ids_are_asked_for_at_once(db: &Db) {
    objects::remember(db, &object("openai", "file-777", "key_a")).await.unwrap();
    let ids: Vec<String> = (0..1000).map(|n| format!("file-{n}")).collect();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.push("file-777");
    assert_eq!(objects::owners(db, &ids).await.unwrap().len(), 1);
    assert_eq!(objects::owners(db, &[]).await.unwrap(), []);
}
