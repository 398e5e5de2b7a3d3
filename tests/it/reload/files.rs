//! Changed files are seen by themselves.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::{Filed, chat, config};
use crate::support::gateway::{Gateway, Setup, eventually};

/// Waits until the gateway has a model of that name.
async fn serves(gateway: &Gateway, model: &str) {
    let key = gateway.plain_key().await;
    eventually(model, async || {
        let reply = gateway.post(&key, "/v1/chat/completions", chat(model)).await;
        reply.status.is_success().then_some(())
    })
    .await;
}

fn models(name: &str) -> String {
    format!("models: {{ {name}: demo/chat }}\n")
}

#[tokio::test]
async fn a_file_that_is_written_or_replaced_is_read_again() {
    let filed = Filed::start(&models("a")).await;
    filed.write(&models("written"));
    serves(&filed.gateway, "written").await;
    std::fs::write(filed.path("new"), models("replaced")).unwrap();
    std::fs::rename(filed.path("new"), filed.path("weir.yaml")).unwrap();
    serves(&filed.gateway, "replaced").await;
    let versions = filed.gateway.admin(http::Method::GET, "/admin/v1/config/versions", Value::Null).await.json();
    assert_eq!(versions["data"][0]["made_by"], "file_change");
}

#[tokio::test]
async fn included_and_secret_files_are_watched_as_soon_as_they_are_named() {
    let filed = Filed::start(&models("a")).await;
    std::fs::create_dir(filed.path("sub")).unwrap();
    std::fs::write(filed.path("sub/more.yaml"), models("included")).unwrap();
    std::fs::write(filed.path("sub/key"), "the-first-key").unwrap();
    filed.write("include: [sub/more.yaml]\nkeys: [{ name: f, key: \"file:sub/key\" }]\n");
    serves(&filed.gateway, "included").await;
    std::fs::write(filed.path("sub/more.yaml"), models("changed")).unwrap();
    serves(&filed.gateway, "changed").await;
    std::fs::write(filed.path("sub/key"), "the-second-key").unwrap();
    eventually("the new secret", async || {
        let reply = filed.gateway.post("the-second-key", "/v1/chat/completions", chat("changed")).await;
        reply.status.is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_link_whose_target_is_exchanged_is_a_changed_file() {
    // As Kubernetes mounts a map: a file is a link into a folder that is a link, and that one is replaced.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |version: &str, model: &str| {
        std::fs::create_dir(path(version)).unwrap();
        std::fs::write(path(version).join("weir.yaml"), models(model)).unwrap();
        symlink(version, path("..data_tmp")).unwrap();
        std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    put("..2026_01", "first");
    symlink("..data/weir.yaml", path("weir.yaml")).unwrap();
    let gateway = Setup::new("").file(path("weir.yaml")).start().await;
    serves(&gateway, "first").await;
    put("..2026_02", "second");
    std::fs::remove_dir_all(path("..2026_01")).unwrap();
    serves(&gateway, "second").await;
    put("..2026_03", "third");
    serves(&gateway, "third").await;
}

#[tokio::test]
async fn a_wrong_file_is_told_and_a_mended_one_taken() {
    let filed = Filed::start(&models("a")).await;
    std::fs::write(filed.path("part.yaml"), "models: { b: [\n").unwrap();
    filed.write("include: [part.yaml]\n");
    let refused = eventually("the refusal", async || {
        let refused = config(&filed.gateway).await["refused"].clone();
        (!refused.is_null()).then_some(refused)
    })
    .await;
    assert_eq!(refused["by"], json!("file_change"));
    serves(&filed.gateway, "a").await;
    // The included file alone, which the configuration in force knows nothing of.
    std::fs::write(filed.path("part.yaml"), models("mended")).unwrap();
    serves(&filed.gateway, "mended").await;
    assert_eq!(config(&filed.gateway).await["refused"], Value::Null);
}

#[tokio::test]
async fn a_file_that_is_touched_only_changes_nothing() {
    let filed = Filed::start(&models("a")).await;
    let before = config(&filed.gateway).await;
    filed.write(&models("a"));
    let unchanged = "weir_config_reloads_total{outcome=\"unchanged\"} ";
    eventually("a look at it", async || super::metric(&super::metrics(&filed.gateway).await, unchanged)).await;
    assert_eq!(config(&filed.gateway).await["in_force_since"], before["in_force_since"]);
}
