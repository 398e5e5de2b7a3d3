//! `weir alerts`, on the database and over HTTP.

use serde_json::json;
use weir::store::outbox::put_now;
use weir::store::{Db, Options};

use super::{event, hook, ok};
use crate::support::binary::{Home, Said};
use crate::support::gateway::eventually;
use crate::support::upstream::{Script, Upstream};

fn fine(said: &Said) -> &str {
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    &said.out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_and_sends_again() {
    let (upstream, gone) = (ok().await, Upstream::scripted(vec![Script::status(410, "")]).await);
    let home = Home::new().env("WEIR_ADMIN_KEY", "admin-key");
    let yaml = format!("alerts:\n{}{}", hook("ops", &upstream.url(), ""), hook("gone", &gone.url(), ""));
    let file = home.file("weir.yaml", &yaml);
    let gateway = home.serve(&["--config", &file, "--listen", "127.0.0.1:0"]).await;
    let url = format!("http://{}", gateway.addr);
    let database = format!("sqlite://{}", home.path("weir-data/weir.db").display());
    let db = Db::open(&database, &Options::default()).unwrap();
    put_now(&db, &[event("m")]).await.unwrap();
    let dead = |args: &[&str]| home.run(&[&["alerts", "dead", "--json"], args].concat()).json()["data"].clone();
    let over_http = ["--url", url.as_str()];
    let letters = eventually("a dead letter", async || Some(dead(&over_http)).filter(|data| *data != json!([]))).await;
    assert_eq!(dead(&["--config", &file]), letters, "both ways show the same");
    for way in [over_http, ["--config", file.as_str()]] {
        let run = |args: &[&str]| home.run(&[&["alerts"], args, &way[..]].concat());
        let list = run(&["list"]);
        let list = fine(&list);
        assert!(list.starts_with("name  kind     target") && list.contains("410 Gone"), "{list}");
        assert!(fine(&run(&["events", "--kind", "price.unknown"])).contains("\"model\":\"m\""));
        assert!(fine(&run(&["dead", "--sink", "gone"])).contains("dlv_"));
        assert!(!fine(&run(&["dead", "--sink", "ops"])).contains("dlv_"));
        assert!(fine(&run(&["test", "ops"])).starts_with("ops was told (evt_"));
        let refused = run(&["test", "gone"]);
        assert_eq!((refused.code, refused.out.as_str()), (1, "gone was not told: it answered 410 Gone\n"));
        let nobody = run(&["test", "nobody"]);
        assert!(nobody.code == 1 && nobody.err.contains("no receiver of alerts is called 'nobody'"), "{nobody:?}");
        let again = run(&["replay", "--sink", "ops", "--since", "2020-01-01T00:00:00Z"]);
        assert_eq!(fine(&again), "ops will be told again\n");
        let before = gone.seen().len();
        let again = run(&["replay", letters[0]["id"].as_str().unwrap()]);
        assert_eq!(fine(&again), "gone will be told again\n");
        eventually("the dead letter", async || (gone.seen().len() > before).then_some(())).await;
        eventually("its return", async || (dead(&way) != json!([])).then_some(())).await;
        assert_eq!(run(&["events", "--kind", "nothing"]).code, 2);
    }
    assert_eq!(home.run(&["alerts", "replay"]).code, 2);
    assert_eq!(home.run(&["alerts", "replay", "--sink", "ops"]).code, 2);
    let told = upstream.seen();
    let events = told.iter().filter(|seen| seen.json()["type"] == "price.unknown").count();
    assert!(events >= 2, "once, and again: {events}");
}
