//! A chat completions request, written.

use std::borrow::Cow;

use super::form::{CACHE_CONTROL, CHAT};
use super::{choice, definitions, encode_params, messages};
use crate::hub::custom_tools;
use crate::hub::write::{self, Obj};
use crate::hub::{
    CacheHint, CacheStyle, CacheTtl, Capabilities, Dialect, EncodeError, Encoded, Field, LossKind, Losses, Place,
    Request, Target, ToolChoice,
};

/// Writes a request for a provider that speaks this dialect. A request that came in it, for a
/// target that takes all, is written as it was, member for member.
///
/// Of another dialect's requests, [`Request::link_results`] must have been called: a result without
/// the id of its call is refused.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    let mut writing = Writing { losses: Losses::new(target.caller, CHAT), target, answer: false };
    // Its clients send the pieces of a stream back one by one.
    let pieces = target.caller == Dialect::Gemini;
    let request = &*if pieces { request.with_whole_steps() } else { Cow::Borrowed(request) };
    let request = &*custom_tools::unless_taken(request, target.capabilities, &mut writing.losses);
    let body = write::object(|o| {
        if !target.model.is_empty() {
            o.text("model", target.model);
        }
        messages::write(o, request, &mut writing);
        if writing.capabilities().tools {
            definitions::write(o, &request.tools, &mut writing);
            choice::write(o, request, &mut writing);
            parallel(o, request, &mut writing);
        } else if !request.tools.is_empty() {
            writing.losses.refuse(Field::Tools.name(target.caller), "the model takes no tools");
        }
        encode_params::write(o, request, &mut writing);
        writing.losses.extra(&request.extra, &Place::root());
        o.extra(&request.extra, CHAT);
    });
    writing.losses.seal(body)
}

fn parallel(o: &mut Obj<'_>, request: &Request, writing: &mut Writing<'_>) {
    if writing.capabilities().parallel_tools {
        o.opt_flag("parallel_tool_calls", request.parallel_tools);
    } else if request.parallel_tools == Some(false) {
        let why = "the model cannot be kept from calling several tools at once";
        writing.losses.param(Field::ParallelTools, LossKind::Dropped, why);
    }
}

/// What an encoder needs at hand while it writes.
pub(super) struct Writing<'w> {
    pub(super) losses: Losses,
    pub(super) target: &'w Target<'w>,
    /// An answer is written, not a request.
    pub(super) answer: bool,
}

impl Writing<'_> {
    pub(super) fn capabilities(&self) -> &Capabilities {
        self.target.capabilities
    }

    /// Whether the caller speaks this dialect too, so that what it wrote may be written again.
    pub(super) fn same(&self) -> bool {
        self.target.caller == Dialect::OpenAiChat
    }

    /// The choice, or `auto` where the model refuses to be forced.
    pub(super) fn allowed_choice<'c>(&mut self, choice: &'c ToolChoice) -> &'c ToolChoice {
        let forced = matches!(
            choice,
            ToolChoice::Required | ToolChoice::Named { .. } | ToolChoice::Allowed { required: true, .. }
        );
        if forced && !self.capabilities().forced_tools {
            let why = "the model cannot be forced to call a tool: it may";
            self.losses.param(Field::ToolChoice, LossKind::Coerced, why);
            return &ToolChoice::Auto;
        }
        choice
    }

    /// Writes a cache hint in the member the target knows.
    pub(super) fn cache(&mut self, o: &mut Obj<'_>, hint: Option<&CacheHint>, control: bool, at: &Place) {
        let Some(hint) = hint else { return };
        let own = hint.raw.as_ref().and_then(|raw| raw.of(CHAT));
        match (self.capabilities().cache_style, own) {
            (CacheStyle::AsWritten, Some(json)) if control => o.raw("cache_control", json.as_str()),
            (CacheStyle::AsWritten, Some(json)) => o.raw("prompt_cache_breakpoint", json.as_str()),
            (CacheStyle::CacheControl, Some(json)) if control => o.raw("cache_control", json.as_str()),
            (CacheStyle::Breakpoint, Some(json)) if !control => o.raw("prompt_cache_breakpoint", json.as_str()),
            (CacheStyle::CacheControl, _) => {
                let ttl = self.ttl(hint, CacheTtl::FiveMinutes, CacheTtl::Hour, at);
                write_hint(o, "cache_control", "type", "ephemeral", ttl);
            }
            (CacheStyle::Breakpoint, _) => {
                let ttl = self.ttl(hint, CacheTtl::HalfHour, CacheTtl::HalfDay, at);
                write_hint(o, "prompt_cache_breakpoint", "mode", "explicit", ttl);
            }
            (CacheStyle::AsWritten | CacheStyle::Never, _) => {
                self.losses.add(at.as_str(), LossKind::Dropped, "cache hint: the provider caches as it likes");
            }
        }
    }

    /// The one of two lifetimes that is nearest from above, or the longer.
    fn ttl(&mut self, hint: &CacheHint, short: CacheTtl, long: CacheTtl, at: &Place) -> Option<CacheTtl> {
        let wanted = hint.ttl?;
        let given = if wanted <= short { short } else { long };
        if given != wanted {
            let why = format!("cache lifetime {} became {}", wanted.word(), given.word());
            self.losses.add(at.as_str(), LossKind::Coerced, why);
        }
        Some(given)
    }
}

fn write_hint(o: &mut Obj<'_>, name: &'static str, key: &'static str, word: &str, ttl: Option<CacheTtl>) {
    o.object(name, |o| {
        o.text(key, word);
        o.opt_text("ttl", ttl.map(CacheTtl::word));
    });
}

/// Whether a part's hint was a `cache_control`.
pub(super) fn is_control(form: crate::hub::Form) -> bool {
    form.has(CHAT, CACHE_CONTROL)
}
