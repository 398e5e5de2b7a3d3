//! A chat completion, read whole.

use super::decode_request::said;
use super::form::CHAT;
use crate::answer::read_answer;
use crate::fault;
use crate::hub::{
    Answer, AnswerError, Choice, Citation, DecodeError, Fields, Head, Logprobs, Mode, Native, Node, Part, PartKind,
    Place, Spent, Stop, StopReason, Text, Tier, TokenLogprob, Word,
};
use crate::json::{Kind, Reader};
use crate::rules::UsageRules;

/// Reads an answer. What is of an unexpected kind is kept for callers of the same dialect, not
/// refused: providers vary.
pub fn decode_answer(body: &[u8], rules: &UsageRules) -> Result<Answer, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    if let Some(error) = fields.peek("error").and_then(in_band) {
        return Err(AnswerError::Upstream(error));
    }
    if fields.peek("choices").is_none_or(|node| node.kind != Kind::Array) {
        return Err(fields.error("choices", "missing, expected a list").into());
    }
    let mut choices = Vec::new();
    for (index, (at, node)) in fields.whole_list("choices")?.into_iter().enumerate() {
        choices.push(choice(node.fields(at)?, index)?);
    }
    let native = fields.take_kind("usage", Kind::Object)?.map(|node| Native { dialect: CHAT, json: node.json() });
    let read = read_answer(body, rules);
    let usage = read.usage.map(|tokens| Spent { tokens, native, bent: read.clamped });
    let head = head(fields, "chat.completion")?;
    Ok(Answer { head, choices, usage })
}

/// An error inside an answer of success.
pub(super) fn in_band(node: Node<'_>) -> Option<fault::UpstreamError> {
    let mut reader = Reader::new(node.raw.as_bytes()).ok()?;
    fault::in_band(&mut reader).ok().flatten()
}

/// What an answer or a chunk says about itself, once the rest has been taken.
pub(super) fn head(mut fields: Fields<'_>, object: &str) -> Result<Head, DecodeError> {
    if fields.peek("object").and_then(Node::text).as_deref() == Some(object) {
        fields.take("object");
    }
    Ok(Head {
        id: fields.word("id")?,
        model: fields.word("model")?,
        created: fields.count("created")?,
        tier: fields.word("service_tier")?.map(|word| Tier::from_word(&word)),
        extra: fields.rest(CHAT),
    })
}

fn choice(mut fields: Fields<'_>, position: usize) -> Result<Choice, DecodeError> {
    let position = u32::try_from(position).unwrap_or(u32::MAX);
    let index = fields.count("index")?.and_then(|index| u32::try_from(index).ok()).unwrap_or(position);
    let mut choice = Choice { index, ..Choice::default() };
    if let Some(mut message) = fields.object("message")? {
        assistant(&mut message);
        choice.parts = said(&mut message)?;
        annotations(&mut message, &mut choice.parts)?;
        choice.message_extra = message.rest(CHAT);
    }
    choice.stop = fields.word("finish_reason")?.map(|word| stop(&word));
    choice.logprobs = logprobs(&mut fields);
    choice.extra = fields.rest(CHAT);
    Ok(choice)
}

/// Takes the role, if it is the usual one.
pub(super) fn assistant(message: &mut Fields<'_>) {
    if message.peek("role").and_then(Node::text).as_deref() == Some("assistant") {
        message.take("role");
    }
}

/// Why it ended, by its word. The words beyond OpenAI's are those of providers that forget to
/// translate.
pub(super) fn stop(word: &str) -> Stop {
    let reason = match word {
        "stop" | "eos" | "end_turn" | "eos_token" => StopReason::End,
        "stop_sequence" => StopReason::Sequence,
        "length" | "max_tokens" => StopReason::Length,
        "tool_calls" | "function_call" | "tool_use" => StopReason::ToolUse,
        "content_filter" => StopReason::Filter,
        "refusal" => StopReason::Refusal,
        "model_context_window_exceeded" | "model_length" => StopReason::Window,
        _ => StopReason::Unknown,
    };
    Stop { word: Some(Word { dialect: CHAT, text: word.to_owned() }), ..Stop::new(reason) }
}

/// Takes the annotations as citations of the first text. Without text they are left.
fn annotations(message: &mut Fields<'_>, parts: &mut [Part]) -> Result<(), DecodeError> {
    let text = parts.iter_mut().find_map(|part| match &mut part.kind {
        PartKind::Text(text) => Some(text),
        _ => None,
    });
    let Some(Text { citations, .. }) = text else { return Ok(()) };
    for (_, node) in message.list("annotations")? {
        citations.push(citation(node)?);
    }
    Ok(())
}

/// One annotation. What is no web citation is kept as it is.
pub(super) fn citation(node: Node<'_>) -> Result<Citation, DecodeError> {
    let raw = Some(Native { dialect: CHAT, json: node.json() });
    let plain = Citation { raw, ..Citation::default() };
    if node.kind != Kind::Object {
        return Ok(plain);
    }
    let mut fields = node.fields(Place::root())?;
    let Some(mut inner) = fields.object("url_citation")? else { return Ok(plain) };
    Ok(Citation {
        start: inner.count("start_index")?,
        end: inner.count("end_index")?,
        title: inner.text("title")?,
        url: inner.text("url")?,
        quote: inner.text("content")?,
        ..plain
    })
}

/// Takes the log probabilities, if they are as they should be; else they are left.
pub(super) fn logprobs(fields: &mut Fields<'_>) -> Option<Logprobs> {
    let node = fields.peek("logprobs").filter(|node| node.kind == Kind::Object)?;
    let read = read_logprobs(node).ok()?;
    fields.take("logprobs");
    Some(read)
}

fn read_logprobs(node: Node<'_>) -> Result<Logprobs, DecodeError> {
    let mut fields = node.fields(Place::root())?;
    let content = tokens(fields.list("content")?)?;
    let refusal = tokens(fields.list("refusal")?)?;
    Ok(Logprobs { content, refusal, extra: fields.rest(CHAT) })
}

fn tokens(items: Vec<(Place, Node<'_>)>) -> Result<Vec<TokenLogprob>, DecodeError> {
    items.into_iter().map(|(at, node)| token(node, at, true)).collect()
}

/// One token, with its alternatives if `whole`: an alternative has none.
fn token(node: Node<'_>, at: Place, whole: bool) -> Result<TokenLogprob, DecodeError> {
    let mut fields = node.fields(at)?;
    let token_text = fields.require_text("token")?;
    let logprob = fields.num("logprob")?.ok_or_else(|| fields.error("logprob", "missing, expected a number"))?;
    let bytes = fields.take_kind("bytes", Kind::Array)?.map(Node::json);
    let mut top = Vec::new();
    if whole {
        for (at, node) in fields.list("top_logprobs")? {
            top.push(token(node, at, false)?);
        }
    }
    Ok(TokenLogprob { token: token_text, logprob, bytes, top, extra: fields.rest(CHAT) })
}
