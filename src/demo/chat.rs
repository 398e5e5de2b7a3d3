//! `demo/chat`: repeats what it is told, describes what it is shown, calls the tools it is given, fits
//! the schema it is asked for, thinks when it is told to.

use http::StatusCode;
use serde_json::{Value, json};

use super::thoughts::{self, Thoughts};
use super::written::{self, Choice, Turn};
use super::{error, logprobs, schema, stream, text, tools, whole};
use crate::upstream::Answer;

/// The most choices: each is as long as the others.
const MAX_CHOICES: u64 = 8;
/// So many bytes are said where they are told several times: in several choices, or as alternatives.
const MAX_TOLD: u64 = 512 * 1024;
/// Who says this to the demo is refused.
const REFUSE: &str = "please refuse";

/// Answers a chat request.
pub(super) fn answer(request: &Value, created: i64) -> Answer {
    match turn(request, created) {
        Err(why) => error(StatusCode::BAD_REQUEST, "invalid_value", &why),
        Ok(turn) if request["stream"] == true => {
            stream::answer(written::chunks(&turn, request["stream_options"]["include_usage"] == true))
        }
        Ok(turn) => whole(StatusCode::OK, &written::completion(&turn)),
    }
}

fn turn(request: &Value, created: i64) -> Result<Turn, String> {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let n = match &request["n"] {
        Value::Null => 1,
        n => n.as_u64().filter(|n| (1..=MAX_CHOICES).contains(n)).ok_or("n must be from 1 to 8 at the demo")?,
    };
    let logprobs = logprobs::wanted(request);
    let told = n * logprobs.map_or(1, |top| top + 2);
    let longest = (told > 1).then_some(MAX_TOLD / told);
    let first = first(request, messages, longest)?;
    let choices: Vec<Choice> = (1..=n).map(|number| numbered(first.clone(), number, cap(request))).collect();
    Ok(Turn {
        id: format!("chatcmpl-demo-{:016x}", text::fingerprint(&request.to_string())),
        created,
        usage: usage(messages, &choices),
        choices,
        logprobs,
    })
}

fn cap(request: &Value) -> Option<u64> {
    request["max_completion_tokens"].as_u64().or_else(|| request["max_tokens"].as_u64())
}

/// What may be said when all that may be generated is `cap`: thoughts count.
fn left(cap: Option<u64>, thoughts: Option<&Thoughts>) -> Option<u64> {
    cap.map(|cap| cap.saturating_sub(thoughts.map_or(0, |thoughts| text::tokens(&thoughts.text))))
}

/// The first choice, of at most so many bytes.
fn first(request: &Value, messages: &[Value], longest: Option<u64>) -> Result<Choice, String> {
    let thoughts = Thoughts::about(request, messages, cap(request));
    let left = left(cap(request), thoughts.as_ref());
    let out = thoughts.as_ref().is_some_and(|thoughts| thoughts.cut);
    let choice = Choice { thoughts, ..Choice::default() };
    if out {
        return Ok(Choice { content: Some(String::new()), finish: "length", ..choice });
    }
    if refuses(messages) {
        let (refusal, cut) = text::cut("I was asked to refuse, so I do.", left);
        return Ok(Choice { refusal: Some(refusal), finish: finish(cut), ..choice });
    }
    let tool_calls = tools::calls(request, messages)?;
    if !tool_calls.is_empty() {
        return Ok(Choice { tool_calls, finish: "tool_calls", ..choice });
    }
    let (said, plain) = spoken(request, messages);
    let said = text::until_stop(&said, &request["stop"]);
    let (said, long) = text::within(said, longest);
    let (content, cut) = text::cut(said, left);
    Ok(Choice { content: Some(content), finish: finish(cut || long), plain, ..choice })
}

/// Further choices that are plain text differ in their number.
fn numbered(choice: Choice, number: u64, cap: Option<u64>) -> Choice {
    let Some(content) = choice.content.as_ref().filter(|_| choice.plain && number > 1 && choice.finish == "stop")
    else {
        return choice;
    };
    let said = format!("{content} (choice {number})");
    let (content, cut) = text::cut(&said, left(cap, choice.thoughts.as_ref()));
    Choice { content: Some(content), finish: finish(cut), ..choice }
}

fn finish(cut: bool) -> &'static str {
    if cut { "length" } else { "stop" }
}

fn refuses(messages: &[Value]) -> bool {
    text::results(messages).is_empty() && text::asked(messages).to_lowercase().contains(REFUSE)
}

/// What is said, before it is cut, and whether it is plain text.
fn spoken(request: &Value, messages: &[Value]) -> (String, bool) {
    let format = &request["response_format"];
    match format["type"].as_str() {
        Some("json_schema") => (schema::instance(&format["json_schema"]["schema"]).to_string(), false),
        Some("json_object") => (json!({"answer": text::reply(messages)}).to_string(), false),
        _ => {
            let mut said = text::reply(messages);
            if let Some(returned) = thoughts::returned(request, messages) {
                said = format!("{said} {returned}");
            }
            (said, true)
        }
    }
}

/// What it cost. What stands before a cache mark counts as read from a cache, always: the demo remembers
/// nothing.
fn usage(messages: &[Value], choices: &[Choice]) -> Value {
    let sizes: Vec<u64> = messages.iter().map(|message| text::tokens(&text::content(message)) + 3).collect();
    let prompt: u64 = sizes.iter().sum();
    let marked = messages.iter().rposition(is_marked).map_or(0, |at| at + 1);
    let cached: u64 = sizes.iter().take(marked).sum();
    let thought: u64 = choices.iter().flat_map(|choice| &choice.thoughts).map(|t| text::tokens(&t.text)).sum();
    let said: u64 = choices.iter().map(said).sum();
    let used = thought + said;
    json!({"prompt_tokens": prompt, "completion_tokens": used, "total_tokens": prompt + used,
        "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": thought}})
}

fn said(choice: &Choice) -> u64 {
    let calls: u64 = choice.tool_calls.iter().map(|call| text::tokens(tools::told(call)) + 2).sum();
    [&choice.content, &choice.refusal].into_iter().flatten().map(|said| text::tokens(said)).sum::<u64>() + calls
}

fn is_marked(message: &Value) -> bool {
    let marks =
        |value: &Value| ["cache_control", "prompt_cache_breakpoint"].iter().any(|mark| value[*mark].is_object());
    marks(message) || message["content"].as_array().into_iter().flatten().any(marks)
}
