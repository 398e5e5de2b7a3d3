//! A `generateContent` request, written.

use std::collections::HashMap;

use super::form::{BODY_MODEL, GEMINI, outside};
use super::{contents, encode_params, tool_config, tools};
use crate::hub::{Capabilities, EncodeError, Encoded, Field, LossKind, Losses, Part, PartKind, Place, Request, Target};
use crate::hub::{custom_tools, write};

/// Writes a request for a provider that speaks this dialect. The model goes into the path, and so does
/// whether to stream. A request that came in this dialect, for a target that takes all, is written as
/// it was, member for member.
///
/// The name of a result's tool, which other dialects do not give, is looked up by the call's id; a
/// result of an unknown call is refused.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    let mut writing = Writing::new(target, false);
    let request = &*custom_tools::as_functions(request, &mut writing.losses);
    writing.calls = calls(request);
    let body = write::object(|o| {
        if request.params.form.has(GEMINI, BODY_MODEL) && !target.model.is_empty() {
            o.text("model", target.model);
        }
        contents::write(o, request, &mut writing);
        if writing.capabilities().tools {
            tools::write(o, request, &mut writing);
            tool_config::write(o, request, &mut writing);
        } else if !request.tools.is_empty() {
            writing.losses.refuse(Field::Tools.name(target.caller), "the model takes no tools");
        }
        encode_params::write(o, request, &mut writing);
        writing.losses.extra(&request.extra, &Place::root());
        o.extra(&outside(&request.extra, &["generationConfig", "toolConfig"]), GEMINI);
    });
    if request.parallel_tools == Some(false) {
        let why = "the model cannot be kept from calling several tools at once";
        writing.losses.param(Field::ParallelTools, LossKind::Dropped, why);
    }
    writing.losses.seal(body)
}

/// The names of the tools called, by the ids of their calls.
fn calls(request: &Request) -> HashMap<String, String> {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let calls = parts.filter_map(|part| match &part.kind {
        PartKind::ToolCall(call) => Some((call.id.clone()?, call.name.clone())),
        _ => None,
    });
    calls.collect()
}

/// What an encoder needs at hand while it writes.
pub(super) struct Writing<'w> {
    pub(super) losses: Losses,
    pub(super) target: &'w Target<'w>,
    /// An answer is written, not a request.
    pub(super) answer: bool,
    /// The names of the tools called, by the ids of their calls.
    pub(super) calls: HashMap<String, String>,
    /// What is written was said by the model, so that what cannot be said may be left out.
    pub(super) model_s: bool,
}

impl<'w> Writing<'w> {
    pub(super) fn new(target: &'w Target<'w>, answer: bool) -> Self {
        let losses = Losses::new(target.caller, GEMINI);
        Self { losses, target, answer, calls: HashMap::new(), model_s: answer }
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        self.target.capabilities
    }

    /// Whether what is written came in this dialect too, so that it may be written again.
    pub(super) fn same(&self) -> bool {
        self.target.caller == GEMINI
    }

    /// A part that cannot be said: what the user said is refused, what the model said is left out.
    pub(super) fn refuse_or_drop(&mut self, part: &Part, why: &str) {
        if self.model_s {
            self.losses.drop_part(part, why);
        } else {
            self.losses.refuse_part(part, why);
        }
    }
}
