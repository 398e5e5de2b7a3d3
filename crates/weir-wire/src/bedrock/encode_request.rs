//! A Converse request, written.

use super::documents::Names;
use super::form::BEDROCK;
use super::{encode_params, messages, system, tools};
use crate::hub::{
    CacheHint, CacheStyle, CacheTtl, Capabilities, EncodeError, Encoded, LossKind, Losses, Part, Place, Request, Target,
};
use crate::hub::{custom_tools, write};

/// The longest id of a call that AWS takes.
const MAX_ID: usize = 64;

/// Writes the body of `converse` and `converse-stream`, which are the same; the model is for the
/// path. A request that came in this dialect is written as it was, member for member.
///
/// Of another dialect's requests, [`Request::link_results`] must have been called: a call or a
/// result without an id is refused.
pub fn encode_request(request: &Request, target: &Target<'_>) -> Result<Encoded, EncodeError> {
    let mut writing = Writing::new(target, false);
    let request = &*custom_tools::as_functions(request, &mut writing.losses);
    let body = write::object(|o| {
        messages::write(o, request, &mut writing);
        system::write(o, request, &mut writing);
        tools::write(o, request, &mut writing);
        encode_params::write(o, request, &mut writing);
        writing.losses.extra(&request.extra, &Place::root());
        o.extra(&request.extra, BEDROCK);
    });
    writing.losses.seal(body)
}

/// What an encoder needs at hand while it writes.
pub(super) struct Writing<'w> {
    pub(super) losses: Losses,
    pub(super) target: &'w Target<'w>,
    /// An answer is written, not a request.
    pub(super) answer: bool,
    names: Names,
}

impl<'w> Writing<'w> {
    pub(super) fn new(target: &'w Target<'w>, answer: bool) -> Self {
        Self { losses: Losses::new(target.caller, BEDROCK), target, answer, names: Names::default() }
    }

    pub(super) fn capabilities(&self) -> &'w Capabilities {
        self.target.capabilities
    }

    /// Whether the caller speaks this dialect too, so that what it wrote may be written again.
    pub(super) fn same(&self) -> bool {
        self.target.caller == BEDROCK
    }

    /// A document's name as AWS takes it.
    pub(super) fn name(&mut self, part: &Part, title: Option<&str>, format: Option<&str>) -> String {
        let (name, changed) = self.names.give(title, format);
        if changed {
            let why = format!("the file's name became {name:?}: AWS takes few letters, and each name once");
            self.losses.add(part.at.as_str(), LossKind::Coerced, why);
        }
        name
    }

    /// The block that ends what is worth caching.
    pub(super) fn cache_point(&mut self, hint: Option<&CacheHint>, at: &Place) -> Option<String> {
        let hint = hint?;
        if let Some(json) = hint.raw.as_ref().and_then(|raw| raw.of(BEDROCK)) {
            return Some(format!("{{\"cachePoint\":{}}}", json.as_str()));
        }
        if self.capabilities().cache_style == CacheStyle::Never {
            self.losses.add(at.as_str(), LossKind::Dropped, "cache hint: the model caches as it likes");
            return None;
        }
        // Five minutes is what is meant without a word, which not every model knows.
        let long = hint.ttl.is_some_and(|ttl| ttl > CacheTtl::FiveMinutes);
        if let Some(ttl) = hint.ttl.filter(|ttl| !matches!(ttl, CacheTtl::FiveMinutes | CacheTtl::Hour)) {
            let why = format!("cache lifetime {} became 1h", ttl.word());
            self.losses.add(at.as_str(), LossKind::Coerced, why);
        }
        Some(write::object(|o| {
            o.object("cachePoint", |o| {
                o.text("type", "default");
                o.opt_text("ttl", long.then_some("1h"));
            });
        }))
    }
}

/// A call's id as AWS takes it: letters, digits, `_`, `-`, `.` and `:`, at most 64. Another one
/// becomes one that is made of it, the same for the call and its result.
pub(super) fn tool_id(id: &str, writing: &Writing<'_>) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    if writing.same() || writing.answer || (id.len() <= MAX_ID && !id.is_empty() && id.bytes().all(fits)) {
        return id.to_owned();
    }
    let kept: String = id.bytes().filter(|byte| fits(*byte)).take(MAX_ID - 17).map(char::from).collect();
    format!("{kept}_{:016x}", hash(id))
}

/// FNV-1a: two ids that differ only in what is left out stay apart.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
