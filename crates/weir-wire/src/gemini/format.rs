//! The form of the answer: `responseMimeType`, `responseSchema`, `responseJsonSchema`. Read and written.

use super::encode_request::Writing;
use super::form::{GEMINI, NO_MIME, RESPONSE_CAPITALS, RESPONSE_OPENAPI, bit_if};
use super::names::Aliases;
use super::schema;
use crate::hub::write::Obj;
use crate::hub::{
    DecodeError, Extra, Field, Fields, Form, Format, Json, LossKind, Native, Node, Place, Schema, SchemaStyle,
};
use crate::json::Kind;

/// Takes the form of the answer, with bits of the parameters' form. What JSON of a schema is not said
/// with is left.
pub(super) fn take(fields: &mut Fields<'_>, aliases: &mut Aliases) -> Result<(Option<Format>, u16), DecodeError> {
    let mime_name = aliases.of(fields, "responseMimeType");
    let mime = fields.word(mime_name)?;
    let json = mime.as_deref().is_none_or(|mime| mime == "application/json");
    if !json {
        let mime = mime.unwrap_or_default();
        return Ok((Some(if mime == "text/plain" { Format::Text } else { other(&mime) }), 0));
    }
    let bits = bit_if(mime.is_none(), NO_MIME);
    if let Some((schema, schema_bits)) = schema(fields, aliases)? {
        return Ok((Some(Format::JsonSchema(schema)), bits | schema_bits));
    }
    Ok((mime.map(|_| Format::JsonObject), 0))
}

/// A MIME type that is neither text nor JSON; a schema beside it stays among the rest.
fn other(mime: &str) -> Format {
    Format::Opaque(Native { dialect: GEMINI, json: Json::string(mime) })
}

fn schema(fields: &mut Fields<'_>, aliases: &mut Aliases) -> Result<Option<(Schema, u16)>, DecodeError> {
    let named = |schema, extra| Schema { name: None, description: None, schema: Some(schema), strict: None, extra };
    let name = aliases.of(fields, "responseJsonSchema");
    if let Some(node) = fields.take_kind(name, Kind::Object)? {
        return Ok(Some((named(node.json(), Extra::default()), 0)));
    }
    let name = aliases.of(fields, "responseSchema");
    let Some(node) = fields.take_kind(name, Kind::Object)? else { return Ok(None) };
    let read = schema::from_openapi(&node.json());
    let kept = if read.exact { Vec::new() } else { vec![("responseSchema".to_owned(), Node::json(node))] };
    let bits = RESPONSE_OPENAPI | bit_if(read.capitals, RESPONSE_CAPITALS);
    Ok(Some((named(read.schema, Extra::new(GEMINI, kept)), bits)))
}

/// Writes the form of the answer into `generationConfig`. `name` gives a member's spelling.
pub(super) fn write(
    o: &mut Obj<'_>,
    format: &Format,
    form: Form,
    name: &dyn Fn(&'static str) -> &'static str,
    writing: &mut Writing<'_>,
) {
    let mime = name("responseMimeType");
    let (any, exact) = (writing.capabilities().json_object, writing.capabilities().json_schema);
    match format {
        Format::Text => o.text(mime, "text/plain"),
        Format::JsonObject if any => o.text(mime, "application/json"),
        Format::JsonSchema(schema) if exact => {
            if !form.has(GEMINI, NO_MIME) {
                o.text(mime, "application/json");
            }
            write_schema(o, schema, form, name, writing);
        }
        Format::JsonSchema(_) if any => {
            let why = "the model takes no schema: any JSON object was asked for";
            writing.losses.param(Field::Format, LossKind::Approximated, why);
            o.text(mime, "application/json");
        }
        Format::JsonObject | Format::JsonSchema(_) => {
            writing.losses.param(Field::Format, LossKind::Dropped, "the model cannot be held to JSON");
        }
        Format::Opaque(native) => match native.of(GEMINI) {
            Some(json) => o.raw(mime, json.as_str()),
            None => writing.losses.param(Field::Format, LossKind::Dropped, "another dialect's own format"),
        },
    }
}

fn write_schema(
    o: &mut Obj<'_>,
    schema: &Schema,
    form: Form,
    name: &dyn Fn(&'static str) -> &'static str,
    writing: &mut Writing<'_>,
) {
    let field = Field::Format.name(writing.target.caller);
    writing.losses.extra(&schema.extra, &Place::root().member(field));
    if schema.description.is_some() {
        let why = "the schema's description: unknown to Gemini";
        writing.losses.param(Field::Format, LossKind::Dropped, why);
    }
    if let Some(raw) = schema.extra.get(GEMINI, "responseSchema") {
        return o.raw(name("responseSchema"), raw.as_str());
    }
    let Some(json) = &schema.schema else { return };
    if form.has(GEMINI, RESPONSE_OPENAPI) {
        let capitals = form.has(GEMINI, RESPONSE_CAPITALS).then(|| schema::capitals(json));
        return o.raw(name("responseSchema"), capitals.as_ref().unwrap_or(json).as_str());
    }
    if writing.capabilities().schemas == SchemaStyle::JsonSchema {
        return o.raw(name("responseJsonSchema"), json.as_str());
    }
    if let Some(open) = schema::to_openapi(json, field, &mut writing.losses) {
        o.raw(name("responseSchema"), open.as_str());
    }
}
