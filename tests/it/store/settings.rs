//! Named settings.

use weir::store::{Db, settings};

use super::on_both_engines;

on_both_engines!(the_last_setting_wins, the_first_of_several_replicas_wins, nul_is_kept_as_a_replacement);

async fn the_last_setting_wins(db: &Db) {
    assert_eq!(settings::get(db, "a").await.unwrap(), None);
    settings::set(db, "a", "1").await.unwrap();
    settings::set(db, "a", "2").await.unwrap();
    assert_eq!(settings::get(db, "a").await.unwrap().as_deref(), Some("2"));
}

async fn the_first_of_several_replicas_wins(db: &Db) {
    let names = ["one", "two", "three", "four"];
    let firsts =
        futures_util::future::join_all(names.map(|name| settings::set_if_absent(db, "admin_key_hash", name))).await;
    let winners: Vec<&str> =
        names.into_iter().zip(firsts).filter_map(|(name, first)| first.unwrap().then_some(name)).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(settings::get(db, "admin_key_hash").await.unwrap().as_deref(), Some(winners[0]));
}

async fn nul_is_kept_as_a_replacement(db: &Db) {
    settings::set(db, "a\0b", "x\0y").await.unwrap();
    assert_eq!(settings::get(db, "a\0b").await.unwrap().as_deref(), Some("x\u{fffd}y"));
}
