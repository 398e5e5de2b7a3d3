//! Adding the cost to a usage object in flight, and naming a model as its caller does.

use bytes::Bytes;

use crate::json::{Span, quote, scan_object};
use crate::sse::Frame;

/// The frame's bytes with `"cost_usd":"<cost>"` as the last member of the usage object at `usage`
/// (a span of [`Frame::data`], from [`super::Seen::UsageOnly`] or
/// [`super::StreamTap::usage_span`]). A `cost_usd` already there, from a gateway further on, is
/// replaced. Every other byte is kept; if the span holds no object, all are.
#[must_use]
pub fn splice_cost(frame: &Frame, usage: Span, cost: &str) -> Bytes {
    splice(frame, usage, cost).unwrap_or_else(|| frame.raw.clone())
}

/// The frame's bytes with another name of the model in the message that an Anthropic stream begins
/// with; `None` for any other frame.
#[must_use]
pub fn splice_model(frame: &Frame, model: &str) -> Option<Bytes> {
    let data = frame.data();
    let message = member(&data, Span { start: 0, end: data.len() }, "message")?;
    let at = member(&data, message, "model")?;
    let raw = &frame.raw;
    let before = raw.get(..frame.raw_offset(at.start)?)?;
    let behind = raw.get(frame.raw_offset(at.end)?..)?;
    Some([before, quote(model).as_bytes(), behind].concat().into())
}

/// A whole body with another name in its member `model`; `None` if it has none.
#[must_use]
pub fn with_model(body: &[u8], model: &str) -> Option<Bytes> {
    let at = member(body, Span { start: 0, end: body.len() }, "model")?;
    Some([body.get(..at.start)?, quote(model).as_bytes(), body.get(at.end..)?].concat().into())
}

/// Where the member of the object at `object` stands.
fn member(data: &[u8], object: Span, name: &str) -> Option<Span> {
    let mut found = None;
    scan_object(object.of(data), |field| {
        if field.key == name {
            found = Some(field.value.shift(object.start));
        }
    })
    .ok()?;
    found
}

fn splice(frame: &Frame, usage: Span, cost: &str) -> Option<Bytes> {
    let data = frame.data();
    let (mut empty, mut there) = (true, None);
    let object = scan_object(usage.of(&data), |field| {
        empty = false;
        if field.key == "cost_usd" {
            there = Some(field.value.shift(usage.start));
        }
    })
    .ok()?;
    let (at, text) = match there {
        Some(value) => (value, quote(cost)),
        None => {
            let end = object.end.checked_sub(1)? + usage.start;
            let comma = if empty { "" } else { "," };
            let at = Span { start: end, end };
            (at, format!("{comma}\"cost_usd\":{}", quote(cost)))
        }
    };
    let raw = &frame.raw;
    let before = raw.get(..frame.raw_offset(at.start)?)?;
    let behind = raw.get(frame.raw_offset(at.end)?..)?;
    Some([before, text.as_bytes(), behind].concat().into())
}
