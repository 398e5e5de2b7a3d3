//! An event in words, for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::Note;
use crate::record::rfc3339;

/// Longest subject, in characters.
const MAX_SUBJECT: usize = 150;

/// A subject on one line, and a text.
pub(super) fn write(note: &Note<'_>) -> (String, String) {
    let data: Value = serde_json::from_str(note.body).unwrap_or_default();
    let sentence = sentence(note.kind, &data);
    let mut text = format!("{sentence}.\n\n");
    lines("", &data, &mut text);
    // Writing to a String cannot fail.
    let _ = write!(text, "\nEvent {} ({}) of {}.\n", note.id, note.kind, rfc3339(note.at));
    let subject = format!("[weir] {sentence}");
    let subject = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SUBJECT).collect();
    (subject, text)
}

fn sentence(kind: &str, data: &Value) -> String {
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).unwrap_or("?").to_owned();
    let usd = |path: &str| dollars(&text(path));
    let budget =
        || format!("Budget \"{}\" of {} {}", text("/budget/name"), text("/budget/scope"), text("/budget/subject"));
    match kind {
        "budget.threshold" => {
            let percent = data["percent"].as_u64().unwrap_or(0);
            format!("{} has reached {percent} % of {} USD", budget(), usd("/limit_usd"))
        }
        "budget.exceeded" => format!("{} is used up and refuses requests", budget()),
        "price.unknown" => format!("Model {}/{} was used and has no price", text("/provider"), text("/model")),
        "ledger.mismatch" => {
            format!("The accounts differ by {} USD: {}", usd("/difference_usd"), text("/what"))
        }
        "provider.credentials_rejected" => format!("Provider {} refuses the gateway's credentials", text("/provider")),
        "upstream.key_rejected" | "upstream.key_restored" => {
            let number = data["key"].as_u64().unwrap_or(0);
            let model = data["model"].as_str().map_or_else(String::new, |model| format!(" for model {model}"));
            let does = if kind == "upstream.key_rejected" { "refuses" } else { "takes" };
            let again = if kind == "upstream.key_rejected" { "" } else { " again" };
            format!("Provider {} {does} upstream key number {number}{model}{again}", text("/provider"))
        }
        "upstream.target_down" => format!("{}/{} fails and is left alone", text("/provider"), text("/model")),
        "upstream.target_up" => format!("{}/{} serves again", text("/provider"), text("/model")),
        "report.ready" => "A report is ready".to_owned(),
        "alert.test" => "This is a test".to_owned(),
        other => other.to_owned(),
    }
}

/// Every value on a line of its own, with its way from the top.
fn lines(path: &str, value: &Value, out: &mut String) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path} {key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| lines(&below(key), value, out)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, value)| lines(&below(&i.to_string()), value, out)),
        Value::Null => {}
        Value::String(text) if path.ends_with("_usd") => {
            let _ = writeln!(out, "{}: {} USD", name(path.trim_end_matches("_usd")), dollars(text));
        }
        Value::String(text) => {
            let _ = writeln!(out, "{}: {text}", name(path));
        }
        other => {
            let _ = writeln!(out, "{}: {other}", name(path));
        }
    }
}

fn name(path: &str) -> String {
    path.replace('_', " ")
}

/// An amount without the zeros that say nothing: at least two places.
fn dollars(text: &str) -> String {
    let Some((whole, places)) = text.split_once('.') else { return text.to_owned() };
    let places = places.trim_end_matches('0');
    format!("{whole}.{places:0<2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Budget, Reached, Window, budget_threshold};
    use crate::money::NanoUsd;

    #[test]
    fn a_threshold_reads_like_a_letter() {
        let event = budget_threshold(
            1_795_000_000_000,
            &Reached {
                budget: Budget { id: "bud_1", name: "monthly", scope: "team", subject: "research" },
                percent: 80,
                limit: NanoUsd(100_000_000_000),
                spent: NanoUsd(80_500_000_001),
                window: Window { starts_at: 1_793_491_200_000, ends_at: Some(1_796_083_200_000) },
                runs_out_at: None,
            },
        );
        let (subject, text) = write(&Note { id: "evt_1", kind: event.kind, at: event.at, body: &event.body });
        assert_eq!(subject, "[weir] Budget \"monthly\" of team research has reached 80 % of 100.00 USD");
        assert_eq!(
            text,
            "Budget \"monthly\" of team research has reached 80 % of 100.00 USD.\n\n\
             budget id: bud_1\nbudget name: monthly\nbudget scope: team\nbudget subject: research\npercent: 80\n\
             limit: 100.00 USD\nspent: 80.500000001 USD\nwindow starts at: 2026-11-01T00:00:00.000Z\n\
             window ends at: 2026-12-01T00:00:00.000Z\n\n\
             Event evt_1 (budget.threshold) of 2026-11-18T11:06:40.000Z.\n"
        );
    }

    #[test]
    fn keys_and_targets_are_named_without_their_secrets() {
        let subject = |kind, body| write(&Note { id: "e", kind, at: 0, body }).0;
        let key = r#"{"provider":"p","key":2,"fingerprint":"9f86d081884c","model":"m","status":403}"#;
        assert_eq!(
            subject("upstream.key_rejected", key),
            "[weir] Provider p refuses upstream key number 2 for model m"
        );
        let key = r#"{"provider":"p","key":1,"model":null}"#;
        assert_eq!(subject("upstream.key_restored", key), "[weir] Provider p takes upstream key number 1 again");
        let target = r#"{"provider":"p","model":"m"}"#;
        assert_eq!(subject("upstream.target_down", target), "[weir] p/m fails and is left alone");
        assert_eq!(subject("upstream.target_up", target), "[weir] p/m serves again");
    }

    #[test]
    fn a_subject_is_one_line_whatever_is_in_it() {
        let body = r#"{"provider":"p\r\nBcc: x@y","model":"m"}"#;
        let (subject, _) = write(&Note { id: "e", kind: "price.unknown", at: 0, body });
        assert_eq!(subject, "[weir] Model p  Bcc: x@y/m was used and has no price");
        let (subject, text) = write(&Note { id: "e", kind: "new.kind", at: 0, body: "not json" });
        assert_eq!((subject.as_str(), text.lines().next()), ("[weir] new.kind", Some("new.kind.")));
    }
}
