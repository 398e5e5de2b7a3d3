//! `cache_control`: the prompt up to here is worth caching. Read and written.

use super::encode_request::Writing;
use super::form::OWN;
use crate::hub::write::Obj;
use crate::hub::{CacheHint, CacheStyle, CacheTtl, DecodeError, Fields, LossKind, Native, Place};
use crate::json::Kind;

/// The most hints of a request.
pub(super) const MAX_HINTS: usize = 4;

/// Takes the hint from an object.
pub(super) fn take(fields: &mut Fields<'_>) -> Result<Option<CacheHint>, DecodeError> {
    let at = fields.at().member("cache_control");
    let Some(node) = fields.take_kind("cache_control", Kind::Object)? else { return Ok(None) };
    let ttl = node.fields(at)?.text("ttl")?;
    let raw = Some(Native { dialect: OWN, json: node.json() });
    Ok(Some(CacheHint { ttl: ttl.as_deref().and_then(CacheTtl::from_word), raw }))
}

/// Writes the hint. Of other dialects' hints the last four are written, as many as there may be.
pub(super) fn write(o: &mut Obj<'_>, hint: Option<&CacheHint>, at: &Place, writing: &mut Writing<'_>) {
    let Some(hint) = hint else { return };
    if writing.capabilities().cache_style == CacheStyle::Never {
        return writing.losses.add(at.as_str(), LossKind::Dropped, "cache hint: the provider caches as it likes");
    }
    if let Some(json) = hint.raw.as_ref().and_then(|raw| raw.of(OWN)) {
        return o.raw("cache_control", json.as_str());
    }
    if writing.hints_to_skip > 0 {
        writing.hints_to_skip -= 1;
        let why = format!("cache hint: {MAX_HINTS} are taken, the last were kept");
        return writing.losses.add(at.as_str(), LossKind::Dropped, why);
    }
    let ttl = hint.ttl.map(|wanted| lifetime(wanted, at, writing));
    o.object("cache_control", |o| {
        o.text("type", "ephemeral");
        o.opt_text("ttl", ttl.map(CacheTtl::word));
    });
}

/// The one of the two lifetimes that is nearest from above, or the longer.
fn lifetime(wanted: CacheTtl, at: &Place, writing: &mut Writing<'_>) -> CacheTtl {
    let given = if wanted <= CacheTtl::FiveMinutes { CacheTtl::FiveMinutes } else { CacheTtl::Hour };
    if given != wanted {
        let why = format!("cache lifetime {} became {}", wanted.word(), given.word());
        writing.losses.add(at.as_str(), LossKind::Coerced, why);
    }
    given
}
