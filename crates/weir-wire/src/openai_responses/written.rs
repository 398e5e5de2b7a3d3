//! What an encoder needs at hand while it writes.

use super::form::RESPONSES;
use crate::hub::write::Obj;
use crate::hub::{CacheHint, CacheStyle, CacheTtl, Capabilities, Field, LossKind, Losses, Place, Target, ToolChoice};

/// Losses, and for whom it is written.
pub(super) struct Writing<'w> {
    pub(super) losses: Losses,
    pub(super) target: &'w Target<'w>,
    /// An answer is written, not a request.
    pub(super) answer: bool,
}

impl<'w> Writing<'w> {
    /// For a body that came in the dialect of the target's caller.
    pub(super) fn new(target: &'w Target<'w>, answer: bool) -> Self {
        Self { losses: Losses::new(target.caller, RESPONSES), target, answer }
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        self.target.capabilities
    }

    /// Whether it came in this dialect too, so that it may be written as it was.
    pub(super) fn same(&self) -> bool {
        self.target.caller == RESPONSES
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

    /// Writes a cache hint, if the target takes hints.
    pub(super) fn cache(&mut self, o: &mut Obj<'_>, hint: Option<&CacheHint>, at: &Place) {
        let Some(hint) = hint else { return };
        let name = "prompt_cache_breakpoint";
        let own = hint.raw.as_ref().and_then(|raw| raw.of(RESPONSES));
        match (self.capabilities().cache_style, own) {
            (CacheStyle::AsWritten | CacheStyle::Breakpoint, Some(json)) => o.raw(name, json.as_str()),
            (CacheStyle::Breakpoint, None) => {
                let ttl = self.ttl(hint, at);
                o.object(name, |o| {
                    o.text("mode", "explicit");
                    o.opt_text("ttl", ttl.map(CacheTtl::word));
                });
            }
            (CacheStyle::AsWritten | CacheStyle::Never | CacheStyle::CacheControl, _) => {
                self.losses.add(at.as_str(), LossKind::Dropped, "cache hint: the provider caches as it likes");
            }
        }
    }

    /// The one of the dialect's two lifetimes that is nearest from above, or the longer.
    fn ttl(&mut self, hint: &CacheHint, at: &Place) -> Option<CacheTtl> {
        let wanted = hint.ttl?;
        let given = if wanted <= CacheTtl::HalfHour { CacheTtl::HalfHour } else { CacheTtl::HalfDay };
        if given != wanted {
            let why = format!("cache lifetime {} became {}", wanted.word(), given.word());
            self.losses.add(at.as_str(), LossKind::Coerced, why);
        }
        Some(given)
    }
}
