//! Limits of several replicas together: over the database, in Redis, and while either is away.

use futures_util::future::join_all;

use super::*;
use crate::door::tls::certificates;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

const KEY: &str = "sk-shared";

/// A gateway whose key has these limits, on this database, with this sharing.
async fn replica(upstream: &Upstream, database: &str, limits: &str, sharing: &str, clock: &Clock) -> Gateway {
    let yaml = format!(
        "{}keys: [{{ name: k, key: {KEY}, limits: {{ {limits} }} }}]\n{sharing}\n",
        one_provider(&upstream.url())
    );
    Setup::new(yaml).database(database).clock(clock.clone()).start().await
}

fn in_redis(redis: &Redis, more: &str) -> String {
    format!("limit_sharing: redis\nredis: {{ url: \"{}\", {more} }}", redis.url())
}

/// Three of them, which know of each other.
async fn three(upstream: &Upstream, database: &str, limits: &str, sharing: &str, clock: &Clock) -> Vec<Gateway> {
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(replica(upstream, database, limits, sharing, clock).await);
    }
    know_each_other(&gateways, clock).await;
    gateways
}

async fn know_each_other(gateways: &[Gateway], clock: &Clock) {
    for gateway in gateways {
        eventually("replicas that know each other", async || {
            clock.advance(Duration::from_secs(1));
            let sharing = sharing(gateway).await;
            (sharing["replicas"] == gateways.len() && sharing["available"] == true).then_some(())
        })
        .await;
    }
}

async fn sharing(gateway: &Gateway) -> Value {
    gateway.admin(Method::GET, "/admin/v1/limits?limit=1", Value::Null).await.json()["sharing"].clone()
}

/// Asks all of them, several at a time, until each refuses; how many passed, and how many of the first.
async fn admitted(gateways: &[Gateway]) -> (usize, usize) {
    let each = gateways.iter().map(|gateway| async move {
        let (mut passed, mut refused) = (0, 0);
        while refused < 3 {
            let replies = join_all((0..8).map(|_| ask(gateway, KEY))).await;
            let ok = replies.iter().filter(|reply| reply.status == StatusCode::OK).count();
            let other = replies
                .iter()
                .find(|reply| reply.status != StatusCode::OK && reply.status != StatusCode::TOO_MANY_REQUESTS);
            assert!(other.is_none(), "{other:?}");
            passed += ok;
            refused = if ok == 0 { refused + 1 } else { 0 };
        }
        passed
    });
    let passed = join_all(each).await;
    (passed.iter().sum(), passed[0])
}

#[tokio::test]
async fn three_replicas_on_one_database_share_six_hundred_a_minute() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let db = Database::postgres().await;
    let clock = Clock::mock(EPOCH);
    // That is the default on PostgreSQL.
    let gateways = three(&upstream, &db.url, "rpm: 600", "", &clock).await;
    assert_eq!(admitted(&gateways).await.0, 600, "never above, and all of it used");
    for seconds in [6_u64, 12, 30] {
        clock.advance(Duration::from_secs(seconds));
        let (passed, _) = admitted(&gateways).await;
        let most = usize::try_from(seconds * 10).unwrap();
        assert!(passed <= most && passed * 100 >= most * 95, "{passed} of {most}");
    }
    // One alone gets all of it, once the others have given back what they took in advance.
    clock.advance(Duration::from_secs(60));
    let (mut passed, mut most) = (0, 600);
    eventually("one having all", async || {
        passed += admitted(&gateways[..1]).await.0;
        assert!(passed <= most, "{passed} of {most}");
        clock.advance(Duration::from_secs(1));
        most += 10;
        (passed * 100 >= most * 95).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_replica_leaves_others_get() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let db = Database::postgres().await;
    let clock = Clock::mock(EPOCH);
    let mut gateways = three(&upstream, &db.url, "rpd: 1000, tph: 1000", "limit_sharing: database", &clock).await;
    // Two tokens each: the estimate of a short prompt is given back.
    let (passed, _) = admitted(&gateways).await;
    assert!((475..=500).contains(&passed), "{passed}");
    let stopped = gateways.remove(0);
    stopped.app.stop(std::future::ready(())).await;
    let shown = gateways[0].admin(Method::GET, "/admin/v1/limits?scope=key", Value::Null).await.json();
    assert_eq!(shown["sharing"]["by"], "database");
    assert_eq!(metric(&gateways[0], "weir_limits_shared").await, Some(1.0));
}

#[tokio::test]
async fn three_replicas_share_six_hundred_a_minute_in_redis() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let redis = Redis::start();
    let clock = Clock::system();
    let mut gateways = Vec::new();
    // Each on a database of its own: Redis is all that they share.
    let databases: Vec<Database> = (0..3).map(|_| Database::sqlite()).collect();
    let began = clock.mono_ns();
    for db in &databases {
        gateways.push(replica(&upstream, &db.url, "rpm: 600", &in_redis(&redis, "timeout: 5s"), &clock).await);
    }
    for gateway in &gateways {
        eventually("a connection", async || (sharing(gateway).await["available"] == true).then_some(())).await;
    }
    let (passed, first) = admitted(&gateways).await;
    let elapsed = usize::try_from((clock.mono_ns() - began) / 1_000_000).unwrap();
    // Redis has its own time: what refills meanwhile is a hundredth of a request a millisecond.
    let most = 600 + elapsed / 100 + 1;
    assert!(passed <= most && passed >= 600, "{passed} of {most}");
    assert!(first > 0 && first < passed);
    let reply = ask(&gateways[2], KEY).await;
    assert_eq!(number(&reply, "x-ratelimit-limit-requests"), 600);
    assert!(number(&reply, "x-ratelimit-remaining-requests") < 20, "what is left of all, not of this replica's");
}

#[tokio::test]
async fn redis_is_reached_by_tls_whose_authority_is_named() {
    let Some(certificates) = certificates() else { return };
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let redis = Redis::with_tls(certificates.path());
    let clock = Clock::system();
    let databases: Vec<Database> = (0..3).map(|_| Database::sqlite()).collect();
    let mut gateways = Vec::new();
    for (db, authority) in databases.iter().zip(["one", "one", "two"]) {
        let file = certificates.path().join(format!("{authority}-ca.pem"));
        let sharing = in_redis(&redis, &format!("timeout: 5s, ca_file: {}", file.display()));
        gateways.push(replica(&upstream, &db.url, "rpm: 1", &sharing, &clock).await);
    }
    for gateway in &gateways[..2] {
        eventually("a connection", async || (sharing(gateway).await["available"] == true).then_some(())).await;
    }
    let statuses = [ask(&gateways[0], KEY).await.status, ask(&gateways[1], KEY).await.status];
    assert_eq!(statuses, [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS]);
    assert_eq!(sharing(&gateways[2]).await["available"], false, "whose certificate nobody vouches for");
}

#[tokio::test]
async fn redis_takes_of_all_limits_or_none_and_tokens_come_back() {
    let upstream = Upstream::scripted(vec![answer(60, 40)]).await;
    let redis = Redis::start();
    let clock = Clock::system();
    let databases: Vec<Database> = (0..2).map(|_| Database::sqlite()).collect();
    let list = "limits: [{ key: \"*\", rpd: 3 }]\n";
    let mut gateways = Vec::new();
    for db in &databases {
        let sharing = format!("{list}{}", in_redis(&redis, "timeout: 5s"));
        gateways.push(replica(&upstream, &db.url, "rpd: 100, tpd: 1000", &sharing, &clock).await);
    }
    for gateway in &gateways {
        eventually("a connection", async || (sharing(gateway).await["available"] == true).then_some(())).await;
    }
    let left = async |holder: &str, rate: &str, span: f64| {
        let level: Option<f64> = redis.call(&["HGET", holder, &format!("{rate}:l")]).await;
        level.map(|level| (level / span).floor())
    };
    const DAY: f64 = 86_400e6;
    const OWN: &str = "weir:{limits}:key:own:config:k";
    let mut body = chat("m");
    body["max_tokens"] = json!(900);
    // The first holds more than 900 until it is answered; then 100 of it were used.
    assert_eq!(gateways[0].post(KEY, "/v1/chat/completions", &body).await.status, StatusCode::OK);
    eventually("the tokens coming back", async || (left(OWN, "tpd", DAY).await == Some(900.0)).then_some(())).await;
    assert_eq!(ask(&gateways[1], KEY).await.status, StatusCode::OK);
    eventually("the tokens coming back", async || (left(OWN, "tpd", DAY).await == Some(800.0)).then_some(())).await;
    // What does not fit is refused by all.
    let refused = gateways[1].post(KEY, "/v1/chat/completions", &body).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.text().contains("tokens per day"), "{}", refused.text());
    eventually("the refused one's request coming back", async || {
        (ask(&gateways[0], KEY).await.status == StatusCode::OK).then_some(())
    })
    .await;
    let refused = ask(&gateways[1], KEY).await;
    assert!(refused.text().contains("3 requests per day"), "{}", refused.text());
    eventually("the refused requests coming back", async || (left(OWN, "rpd", DAY).await == Some(97.0)).then_some(()))
        .await;
}

async fn held_by(gateway: &Gateway) -> Result<http::Response<hyper::body::Incoming>, StatusCode> {
    let headers = [("x-api-key", KEY), ("content-type", "application/json")];
    let mut reply = gateway.send(Method::POST, "/v1/chat/completions", &headers, streaming()).await;
    if reply.status() != StatusCode::OK {
        return Err(reply.status());
    }
    reply.frame().await.unwrap().unwrap();
    Ok(reply)
}

/// Places are those of all; what one leaves another gets.
async fn places_are_shared(gateways: &[Gateway]) {
    let mut open = Vec::new();
    for gateway in gateways.iter().chain(&gateways[..1]).take(4) {
        open.push(held_by(gateway).await.expect("a place"));
    }
    for gateway in gateways {
        assert_eq!(held_by(gateway).await.unwrap_err(), StatusCode::TOO_MANY_REQUESTS);
    }
    open.remove(0);
    eventually("a free place", async || {
        // Slowly: a replica whose keeper is slower than the clock would be taken for dead.
        gateways[2].clock.advance(Duration::from_millis(100));
        held_by(&gateways[2]).await.ok().map(|reply| open.push(reply))
    })
    .await;
    assert_eq!(held_by(&gateways[1]).await.unwrap_err(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn places_in_flight_are_shared_over_the_database() {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let db = Database::postgres().await;
    let clock = Clock::mock(EPOCH);
    let gateways = three(&upstream, &db.url, "concurrency: 4", "limit_sharing: database", &clock).await;
    places_are_shared(&gateways).await;
}

#[tokio::test]
async fn places_in_flight_are_shared_in_redis() {
    let upstream = Upstream::scripted(vec![hanging()]).await;
    let (redis, db) = (Redis::start(), Database::sqlite());
    let clock = Clock::mock(EPOCH);
    let gateways = three(&upstream, &db.url, "concurrency: 4", &in_redis(&redis, "timeout: 5s"), &clock).await;
    places_are_shared(&gateways).await;
}

#[tokio::test]
async fn while_redis_is_gone_each_replica_has_its_part() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let (mut redis, db) = (Redis::start(), Database::sqlite());
    let clock = Clock::mock(EPOCH);
    let sharing_in = in_redis(&redis, "timeout: 5s, on_failure: local_shares");
    let gateways = three(&upstream, &db.url, "rph: 900", &sharing_in, &clock).await;
    // Half of it is used by one of them, so that 450 are left.
    for _ in 0..450 {
        assert_eq!(ask(&gateways[0], KEY).await.status, StatusCode::OK);
    }
    redis.kill();
    let (passed, first) = admitted(&gateways).await;
    // The others have not heard how much is left, but none has more than a third of the limit.
    assert!(first <= 150 && passed <= 150 + 300 + 300, "{first} of {passed}");
    assert!(passed >= 700, "{passed}");
    assert_eq!(sharing(&gateways[0]).await["available"], false);
    eventually("the metric", async || (metric(&gateways[0], "weir_limits_shared").await == Some(0.0)).then_some(()))
        .await;
    clock.advance(Duration::from_secs(60));
    let (passed, first) = admitted(&gateways).await;
    assert!((14..=16).contains(&passed) && first == 5, "a third of fifteen a minute each: {first} of {passed}");
    // Back, it is told what was taken meanwhile; it has forgotten what was before.
    redis.again();
    know_each_other(&gateways, &clock).await;
    eventually("Redis being told", async || {
        clock.advance(Duration::from_secs(1));
        let level: Option<f64> = redis.call(&["HGET", "weir:{limits}:key:own:config:k", "rph:l"]).await;
        level.filter(|level| level / 3_600e6 < 900.0 - 600.0).map(drop)
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_slow_nobody_waits_longer_than_may_be() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let (redis, db) = (Redis::start(), Database::sqlite());
    let clock = Clock::system();
    let local = replica(&upstream, &db.url, "rph: 10", &in_redis(&redis, ""), &clock).await;
    let strict = replica(&upstream, &db.url, "rph: 10", &in_redis(&redis, "on_failure: refuse"), &clock).await;
    let patient = in_redis(&redis, "timeout: 700ms");
    let patient = replica(&upstream, &db.url, "rph: 10", &patient, &clock).await;
    for gateway in [&local, &strict, &patient] {
        eventually("replicas that know each other", async || {
            let sharing = sharing(gateway).await;
            (sharing["replicas"] == 3 && sharing["available"] == true).then_some(())
        })
        .await;
    }
    redis.call::<()>(&["CLIENT", "PAUSE", "3600000", "ALL"]).await;
    let began = clock.mono_ns();
    assert_eq!(ask(&patient, KEY).await.status, StatusCode::OK);
    assert!(clock.mono_ns() - began >= 700_000_000, "it may take so long");
    let began = clock.mono_ns();
    let mut passed = 0;
    for _ in 0..20 {
        let reply = ask(&local, KEY).await;
        passed += usize::from(reply.status == StatusCode::OK);
        let refused = ask(&strict, KEY).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "limits_unavailable"));
        assert!(refused.header("retry-after").is_some());
    }
    assert!((3..=4).contains(&passed), "a third of ten, as there are three replicas: {passed}");
    let waited = (clock.mono_ns() - began) / 1_000_000;
    assert!(waited < 5_000, "forty requests took {waited} ms");
}

#[tokio::test]
async fn while_the_database_is_gone_each_replica_has_its_part() {
    let upstream = Upstream::scripted(vec![answer(1, 1)]).await;
    let db = Database::postgres().await;
    let (host, name) = db.url.rsplit_once('@').unwrap().1.split_once('/').unwrap();
    let mut proxy = Proxy::closed(host);
    proxy.open().await;
    let url = format!("postgres://weir:weir@{}/{name}", proxy.addr);
    let clock = Clock::mock(EPOCH);
    let gateways = three(&upstream, &url, "rph: 900", "limit_sharing: database", &clock).await;
    for _ in 0..300 {
        assert_eq!(ask(&gateways[0], KEY).await.status, StatusCode::OK);
    }
    proxy.close().await;
    let (passed, _) = admitted(&gateways).await;
    // A third of what was left as the first knew it, and of all as the others did.
    assert!((500..=900).contains(&passed), "{passed}");
    let reopened = clock.mono_ns();
    proxy.open().await;
    eventually("the database being told", async || {
        clock.advance(Duration::from_secs(1));
        for gateway in &gateways {
            if sharing(gateway).await["available"] != true {
                return None;
            }
        }
        Some(())
    })
    .await;
    let (more, _) = admitted(&gateways).await;
    // A quarter of a request comes back in a second; and what nobody used may still be.
    let back = usize::try_from((clock.mono_ns() - reopened) / 4_000_000_000).unwrap();
    let left = 900_usize.saturating_sub(300 + passed) + back;
    assert!(more <= left + 3, "what was used counts: 300, {passed}, {more}; {back} came back");
}
