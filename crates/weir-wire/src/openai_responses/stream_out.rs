//! One item of a stream being written: what it has said, and the events that say it.

use super::call::member;
use super::said::{Sort, goes_on};
use crate::hub::fold::apply;
use crate::hub::write::{self, Obj};
use crate::hub::{CallKind, Delta, Part, PartKind, Text, Thinking, TokenLogprob, ToolCall};

/// An item that is being said.
#[derive(Debug)]
pub(super) struct OpenItem {
    pub(super) sort: Sort,
    pub(super) id: String,
    pub(super) parts: Vec<Part>,
    /// The item has been told of.
    pub(super) announced: bool,
    /// The last part has been told of, and has not ended.
    pub(super) part_open: bool,
    /// Elements of the lists told of so far: summaries, contents.
    summaries: u64,
    contents: u64,
    /// Log probabilities of its text, of another dialect's answer.
    pub(super) tokens: Vec<TokenLogprob>,
}

/// An event about an item: its type, and its members beside those that place it.
pub(super) type Told = (&'static str, String);

impl OpenItem {
    pub(super) fn new(sort: Sort, id: String, shell: Part) -> Self {
        let parts = vec![shell];
        Self { sort, id, parts, announced: false, part_open: false, summaries: 0, contents: 0, tokens: Vec::new() }
    }

    /// Whether a part that begins belongs to this item.
    pub(super) fn takes(&self, shell: &Part, same: bool) -> bool {
        self.parts.last().is_some_and(|last| goes_on(last, shell, same))
    }

    /// Adds to the last part.
    pub(super) fn add(&mut self, delta: Delta) {
        if let Some(last) = self.parts.last_mut() {
            apply(last, delta);
        }
    }

    /// The item as it is at its beginning.
    pub(super) fn beginning(&self) -> String {
        write::object(|o| match (self.sort, self.parts.first().map(|part| &part.kind)) {
            (Sort::Call(kind), Some(PartKind::ToolCall(call))) => self.call(o, kind, call),
            (Sort::Reasoning, _) => {
                o.text("type", "reasoning");
                o.text("id", &self.id);
                o.array("summary", |_| {});
            }
            (Sort::Picture, _) => {
                o.text("type", "image_generation_call");
                o.text("id", &self.id);
                o.text("status", "in_progress");
                o.null("result");
            }
            _ => {
                o.text("type", "message");
                o.text("id", &self.id);
                o.text("status", "in_progress");
                o.text("role", "assistant");
                o.array("content", |_| {});
            }
        })
    }

    fn call(&self, o: &mut Obj<'_>, kind: CallKind, call: &ToolCall) {
        o.text("type", if kind == CallKind::Custom { "custom_tool_call" } else { "function_call" });
        o.text("id", &self.id);
        o.text("status", "in_progress");
        o.opt_text("call_id", call.id.as_deref());
        o.text("name", &call.name);
        o.text(member(kind), "");
    }

    /// Whether the last part's thoughts are a summary; other dialects' always are.
    fn is_summary(&self, same: bool) -> bool {
        match self.parts.last().map(|part| &part.kind) {
            Some(PartKind::Thinking(Thinking { summary, .. })) => *summary || !same,
            _ => false,
        }
    }

    /// Whether the last part is an element of a message that nothing is added to.
    pub(super) fn is_told_at_once(&self) -> bool {
        let told = |part: &Part| !matches!(part.kind, PartKind::Text(_) | PartKind::Refusal(_));
        self.sort == Sort::Message && self.parts.last().is_some_and(told)
    }

    /// The event with which the last part begins, if such parts are told of; `whole` is a part that
    /// is told at once.
    pub(super) fn part_added(&mut self, whole: &str, same: bool) -> Option<Told> {
        let kind = self.parts.last().map(|part| &part.kind)?;
        let part = match kind {
            PartKind::Text(_) => write::object(|o| {
                o.text("type", "output_text");
                o.text("text", "");
                o.array("annotations", |_| {});
                o.array("logprobs", |_| {});
            }),
            PartKind::Refusal(_) => write::object(|o| {
                o.text("type", "refusal");
                o.text("refusal", "");
            }),
            PartKind::Thinking(_) if self.is_summary(same) => {
                self.summaries += 1;
                let part = r#"{"type":"summary_text","text":""}"#;
                return Some(("response.reasoning_summary_part.added", self.with_place(same, |o| o.raw("part", part))));
            }
            PartKind::Thinking(_) => r#"{"type":"reasoning_text","text":""}"#.to_owned(),
            _ if !whole.is_empty() => whole.to_owned(),
            _ => return None,
        };
        self.contents += 1;
        Some(("response.content_part.added", self.with_place(same, |o| o.raw("part", &part))))
    }

    /// The event for an addition to the last part, if this dialect has one.
    pub(super) fn delta(&self, delta: &Delta, same: bool) -> Option<Told> {
        let kind = self.parts.last().map(|part| &part.kind)?;
        let (name, text) = match (kind, delta) {
            (PartKind::Text(_), Delta::Text(text)) => {
                let more = |o: &mut Obj<'_>| {
                    o.text("delta", text);
                    o.array("logprobs", |_| {});
                };
                return Some(("response.output_text.delta", self.with_place(same, more)));
            }
            (PartKind::Text(Text { citations, .. }), Delta::Citation(citation)) => {
                let index = citations.len().saturating_sub(1) as u64;
                let more = |o: &mut Obj<'_>| {
                    o.count("annotation_index", index);
                    o.raw("annotation", &super::parts::write_citation(citation));
                };
                return Some(("response.output_text.annotation.added", self.with_place(same, more)));
            }
            (PartKind::Refusal(_), Delta::Text(text)) => ("response.refusal.delta", text),
            (PartKind::Thinking(_), Delta::Text(text)) if self.is_summary(same) => {
                ("response.reasoning_summary_text.delta", text)
            }
            (PartKind::Thinking(_), Delta::Text(text)) => ("response.reasoning_text.delta", text),
            (PartKind::ToolCall(call), Delta::Arguments(text)) => match call.kind {
                CallKind::Function => ("response.function_call_arguments.delta", text),
                CallKind::Custom => ("response.custom_tool_call_input.delta", text),
            },
            _ => return None,
        };
        Some((name, self.with_place(same, |o| o.text("delta", text))))
    }

    /// The events with which the last part ends. `part` is it as it stands in the item.
    pub(super) fn part_done(&self, part: &str, same: bool) -> Vec<Told> {
        let Some(kind) = self.parts.last().map(|part| &part.kind) else { return Vec::new() };
        let whole = |name| (name, self.with_place(same, |o| o.raw("part", part)));
        let done = |name, member: &'static str, text: &str| (name, self.with_place(same, |o| o.text(member, text)));
        match kind {
            PartKind::Text(Text { text, .. }) => {
                let tokens = write::array(|a| {
                    self.tokens.iter().for_each(|token| a.object(|o| super::logprobs::write(o, token)));
                });
                let more = |o: &mut Obj<'_>| {
                    o.text("text", text);
                    o.raw("logprobs", &tokens);
                };
                vec![("response.output_text.done", self.with_place(same, more)), whole("response.content_part.done")]
            }
            PartKind::Refusal(text) => {
                vec![done("response.refusal.done", "refusal", text), whole("response.content_part.done")]
            }
            PartKind::Thinking(Thinking { text, .. }) if self.is_summary(same) => vec![
                done("response.reasoning_summary_text.done", "text", text),
                whole("response.reasoning_summary_part.done"),
            ],
            PartKind::Thinking(Thinking { text, .. }) => {
                vec![done("response.reasoning_text.done", "text", text), whole("response.content_part.done")]
            }
            PartKind::ToolCall(ToolCall { kind: CallKind::Custom, arguments, .. }) => {
                vec![done("response.custom_tool_call_input.done", "input", arguments)]
            }
            PartKind::ToolCall(ToolCall { arguments, name, .. }) => {
                let more = |o: &mut Obj<'_>| {
                    o.text("name", name);
                    o.text("arguments", arguments);
                };
                vec![("response.function_call_arguments.done", self.with_place(same, more))]
            }
            _ if self.is_told_at_once() => vec![whole("response.content_part.done")],
            _ => Vec::new(),
        }
    }

    /// The members that place an event in the item, then these. The item's place among the items is
    /// written by the stream.
    fn with_place(&self, same: bool, fill: impl FnOnce(&mut Obj<'_>)) -> String {
        let text = write::object(|o| {
            o.text("item_id", &self.id);
            match self.sort {
                Sort::Reasoning if self.is_summary(same) => o.count("summary_index", self.summaries.saturating_sub(1)),
                Sort::Message | Sort::Reasoning => o.count("content_index", self.contents.saturating_sub(1)),
                _ => {}
            }
            fill(o);
        });
        // Without its braces: the stream writes the rest of the object.
        text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_owned()
    }
}
