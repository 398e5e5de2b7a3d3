//! Who pays for copies, and what is kept of them.

use std::path::Path;

use tempfile::TempDir;

use super::*;

on_both!(nobody_pays_for_a_copy_but_where_that_is_said);

async fn nobody_pays_for_a_copy_but_where_that_is_said(db: Database) {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let own = "budgets:\n  - { name: all of b, provider: b, usd: \"1\", period: total }\n  - { name: copies of m, tag: shadow=m, usd: \"1\", period: total }\n";
    for (n, bill) in [(1, false), (2, true)] {
        let yaml = format!("{}{own}", yaml(&a, &b, &format!(", bill: {bill}")));
        let gateway = Setup::new(yaml).database(&db.url).start().await;
        let (id, key) = gateway
            .key(json!({"team_id": "t", "budget": {"usd": "1", "period": "total"}, "limits": {"rpd": 100}}))
            .await;
        let auth = format!("Bearer {key}");
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
            ("x-weir-tags", "app=x,shadow=mine"),
        ];
        let mut body = chat(false);
        body["max_tokens"] = json!(5);
        let reply = gateway.request(Method::POST, "/v1/chat/completions", &headers, body.to_string()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let pair = pairs(&gateway, n).await[0].clone();
        assert_eq!(pair["billed"], bill);
        // Each call costs 15 tokens.
        let (spent, seen, left) = if bill { ("0.000045000", 2, 98) } else { ("0.000015000", 1, 99) };
        let shown = eventually("nothing is held", async || {
            gateway.rows().await;
            let shown = gateway.admin(Method::GET, &format!("/admin/v1/keys/{id}"), Value::Null).await.json();
            (shown["budget"]["reserved_usd"] == "0.000000000").then_some(shown)
        })
        .await;
        assert_eq!(shown["budget"]["spent_usd"], spent);
        assert_eq!(gateway.get(&key, "/v1/usage").await.json()["data"].as_array().unwrap().len(), seen);
        let limits = gateway.admin(Method::GET, "/admin/v1/limits?scope=key", Value::Null).await.json();
        let text = limits.to_string();
        assert!(text.contains(&format!("\"remaining\":{left}")), "{text}");
        // The operator sees what it really costs.
        let found = gateway.admin(Method::GET, "/admin/v1/usage?tag=shadow=m", Value::Null).await.json();
        let row = &found["data"][0];
        assert_eq!(found["data"].as_array().unwrap().len(), n, "a tag of the caller's marks nothing: {found:#}");
        assert_eq!(
            (&row["endpoint"], &row["model"], &row["provider"]),
            (&json!("shadow/chat/completions"), &json!("b/y"), &json!("b"))
        );
        assert_eq!(
            (&row["id"], &row["cost_usd"], &row["tags"]["shadow_of"]),
            (&pair["id"], &json!("0.000030000"), &pair["original"]["request_id"])
        );
        assert_eq!(row["key_id"], if bill { json!(id) } else { Value::Null });
        assert_eq!(
            (row["team_id"].clone(), row["tags"]["app"].clone()),
            if bill { (json!("t"), json!("x")) } else { (Value::Null, Value::Null) }
        );
        let budgets = gateway.admin(Method::GET, "/admin/v1/budgets?limit=100", Value::Null).await.json();
        for name in ["all of b", "copies of m"] {
            let budget = budgets["data"].as_array().unwrap().iter().find(|budget| budget["name"] == name).unwrap();
            assert_eq!(budget["window"]["spent_usd"], format!("0.0000{}0000", 3 * n), "{name}");
        }
        let books = gateway.admin(Method::GET, "/admin/v1/reconcile?from=1970-01-01", Value::Null).await.json();
        assert_eq!((&books["agrees"], &books["rows"]), (&json!(true), &json!(2 * n)), "{books}");
        gateway.app.stop(std::future::pending()).await;
    }
}

#[tokio::test]
async fn a_copy_that_cannot_be_paid_is_not_sent() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![answer("hi")]).await;
    let own = "budgets: [{ name: copies of m, tag: shadow=m, usd: \"0.000000001\", period: total }]\nlimits: [{ model: b/y, rpm: 1 }]\n";
    let gateway = Setup::new(format!("{}{own}", yaml(&a, &b, ""))).start().await;
    let key = gateway.plain_key().await;
    for (n, code) in [(1, "budget_exceeded"), (2, "rate_limit_exceeded")] {
        ask(&gateway, &key, &chat(false)).await;
        let pair = pairs(&gateway, n).await[0].clone();
        assert_eq!((&pair["shadow"]["status"], &pair["shadow"]["error_code"]), (&json!("rejected"), &json!(code)));
    }
    assert_eq!(b.seen().len(), 0);
}

/// The files of a journal as they are now.
fn copy(from: &Path, to: &Path) {
    for journal in std::fs::read_dir(from).unwrap() {
        let journal = journal.unwrap();
        let target = to.join(journal.file_name());
        std::fs::create_dir_all(&target).unwrap();
        for file in std::fs::read_dir(journal.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_copy_under_way_in_a_process_that_dies_leaves_its_row() {
    let a = Upstream::scripted(vec![answer("hi")]).await;
    let b = Upstream::scripted(vec![Script::stream(vec![Step::Hang])]).await;
    let (root, copied) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let journaled = |root: &Path| format!("{}ledger: {{ journal: \"{}\" }}\n", yaml(&a, &b, ""), root.display());
    let first = Setup::new(journaled(root.path())).start().await;
    let key = first.plain_key().await;
    ask(&first, &key, &chat(false)).await;
    eventually("the copy is under way", async || (b.seen().len() == 1).then_some(())).await;
    copy(root.path(), copied.path());
    let second = Setup::new(journaled(copied.path())).start().await;
    let rows = eventually("what was left is read", async || {
        let rows = second.rows().await;
        rows.iter().any(|row| row["status"] == "interrupted").then_some(rows)
    })
    .await;
    let row = rows.iter().find(|row| row["status"] == "interrupted").unwrap();
    assert_eq!(
        (&row["endpoint"], &row["tags"]["shadow"], &row["provider"]),
        (&json!("shadow/chat/completions"), &json!("m"), &json!("b"))
    );
    assert_eq!(row["error_code"], "gateway_died");
}
