//! The demo's thoughts: as many as are asked for, sealed, and looked for when a tool has answered.
//!
//! They are given as providers of OpenAI's dialect give them: `reasoning_content` for people,
//! `reasoning_details` with a signature for whoever sends them back.

use serde_json::{Value, json};

use super::text;

/// What is thought before an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thoughts {
    /// In words.
    pub text: String,
    /// They did not fit into what may be generated.
    pub cut: bool,
}

impl Thoughts {
    /// The thoughts about a conversation, cut to `max_tokens`; `None` where none are asked for.
    pub(super) fn about(request: &Value, messages: &[Value], max_tokens: Option<u64>) -> Option<Self> {
        let sentences = sentences(request);
        if sentences == 0 {
            return None;
        }
        let tools = request["tools"].as_array().map_or(0, Vec::len);
        let all = [
            format!("The user's last message has {} words.", text::tokens(&text::asked(messages))),
            format!("There are {} messages and {tools} tools.", messages.len()),
            "I am the demo, so I repeat what I am told.".to_owned(),
            "Nothing in it changes that.".to_owned(),
            "So be it.".to_owned(),
        ];
        let (text, cut) = text::cut(&all[..sentences.min(all.len())].join(" "), max_tokens);
        Some(Self { text, cut })
    }

    /// The signature, by which the demo knows its thoughts again.
    pub(super) fn seal(&self) -> String {
        seal(&self.text)
    }

    /// `reasoning_details`, whole.
    pub(super) fn details(&self) -> Value {
        json!([{"type": "reasoning.text", "text": self.text, "signature": self.seal(), "index": 0}])
    }

    /// What a stream adds to a message, word by word, the signature last.
    pub(super) fn deltas(&self) -> Vec<Value> {
        let word = |word| json!({"reasoning_content": word, "reasoning_details": [{"type": "reasoning.text", "text": word, "index": 0}]});
        let sealed = json!({"reasoning_details": [{"type": "reasoning.text", "signature": self.seal(), "index": 0}]});
        text::pieces(&self.text).map(word).chain([sealed]).collect()
    }
}

fn seal(text: &str) -> String {
    format!("demo-{:016x}", text::fingerprint(text))
}

/// How many sentences are thought: by the word that OpenAI has for it, or as others of its dialect write it.
fn sentences(request: &Value) -> usize {
    let word = request["reasoning_effort"].as_str().or_else(|| request["reasoning"]["effort"].as_str());
    let on = matches!(request["thinking"]["type"].as_str(), Some("enabled" | "adaptive"))
        || request["reasoning"]["enabled"] == true
        || request["reasoning"]["max_tokens"].is_u64();
    match word {
        Some("none") => 0,
        Some("minimal") => 1,
        Some("low") => 2,
        Some("medium") => 3,
        Some("high") => 4,
        Some(_) => 5,
        None if on => 3,
        None => 0,
    }
}

/// What became of the thoughts before the calls that tools have answered, where thoughts are asked for.
/// It is only said: a demo that refused would be no help to whoever looks for the mistake.
pub(super) fn returned(request: &Value, messages: &[Value]) -> Option<&'static str> {
    if sentences(request) == 0 || text::results(messages).is_empty() {
        return None;
    }
    let said = messages.get(text::last_said(messages)?)?;
    let details = || said["reasoning_details"].as_array().into_iter().flatten();
    let sealed = details().find_map(|detail| Some((detail["text"].as_str()?, detail["signature"].as_str()?)));
    let shown = details().any(|detail| detail["text"].is_string())
        || ["reasoning_content", "reasoning"].iter().any(|name| said[*name].is_string());
    Some(match sealed {
        Some((text, signature)) if signature == seal(text) => "My thoughts came back with their seal.",
        Some(_) => "My thoughts came back with a seal that is not theirs.",
        None if shown => "My thoughts came back without their seal.",
        None => "My thoughts did not come back.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_thought_as_is_asked_for() {
        let words =
            |request: Value| Thoughts::about(&request, &[], None).map_or(0, |thoughts| text::tokens(&thoughts.text));
        assert_eq!(words(json!({})), 0);
        assert_eq!(words(json!({"reasoning_effort": "none", "thinking": {"type": "enabled"}})), 0);
        let efforts = ["minimal", "low", "medium", "high", "xhigh"];
        let counts = efforts.map(|effort| words(json!({"reasoning_effort": effort})));
        assert!(counts.is_sorted() && counts[0] > 0 && counts[0] < counts[4], "{counts:?}");
        for other in [
            json!({"thinking": {"type": "enabled"}}),
            json!({"reasoning": {"enabled": true}}),
            json!({"reasoning": {"effort": "medium"}}),
            json!({"reasoning": {"max_tokens": 2000}}),
        ] {
            assert_eq!(words(other.clone()), counts[2], "{other}");
        }
        let cut = Thoughts::about(&json!({"reasoning_effort": "low"}), &[], Some(2)).unwrap();
        assert_eq!(cut, Thoughts { text: "The user's".into(), cut: true });
    }

    #[test]
    fn what_came_back_is_told() {
        let request = json!({"reasoning_effort": "low"});
        let thoughts = Thoughts::about(&request, &[], None).unwrap();
        let after = |mut said: Value| {
            said["role"] = "assistant".into();
            returned(&request, &[said, json!({"role": "tool", "content": "x"})])
        };
        let ends = |said: Value, end: &str| assert!(after(said.clone()).unwrap().ends_with(end), "{said}");
        ends(json!({"reasoning_details": thoughts.details()}), "came back with their seal.");
        ends(json!({"reasoning_details": [{"text": "other", "signature": thoughts.seal()}]}), "not theirs.");
        ends(json!({"reasoning_content": thoughts.text}), "without their seal.");
        ends(json!({"reasoning_details": [{"text": thoughts.text}]}), "without their seal.");
        ends(json!({"content": "x"}), "did not come back.");
        assert_eq!(returned(&json!({}), &[json!({"role": "assistant"}), json!({"role": "tool"})]), None);
        assert_eq!(returned(&request, &[json!({"role": "user"})]), None);
        assert_eq!(returned(&request, &[json!({"role": "tool"})]), None);
    }
}
