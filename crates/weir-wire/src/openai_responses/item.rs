//! Items of `input` and `output`. Read.

use super::form::{HOLLOW, ITEM, ITEM_ID, NO_TYPE, RESPONSES, bit_if, form};
use super::{call, content, seals, thinking};
use crate::hub::{CallKind, DecodeError, Extra, Fields, Form, Json, Mode, Node, Part, Place, Role, Seal, Turn, write};
use crate::json::Kind;

/// The items that only whoever is asked could look up, and that are the caller's word.
const CALLERS: [&str; 5] =
    ["item_reference", "additional_tools", "compaction", "compaction_trigger", "configuration_update"];

/// One item: who says it, and what.
pub(super) struct Item {
    pub(super) role: Role,
    pub(super) parts: Vec<Part>,
    /// The seal of the call that follows.
    pub(super) seal: Option<Seal>,
    form: Form,
    at: Place,
    extra: Extra,
}

impl Item {
    fn new(role: Role, parts: Vec<Part>, at: Place) -> Self {
        Self { role, parts, seal: None, form: Form::default(), at, extra: Extra::default() }
    }

    /// The item as a turn of its own.
    pub(super) fn into_turn(self) -> Turn {
        let Self { role, parts, form, at, extra, .. } = self;
        Turn { form, at, extra, ..Turn::new(role, parts) }
    }
}

/// Reads an item.
pub(super) fn read(node: Node<'_>, at: Place) -> Result<Item, DecodeError> {
    if node.kind != Kind::Object && node.mode() == Mode::Answer {
        return Ok(opaque("", node, at));
    }
    let mut fields = node.fields(at.clone())?;
    let known = match fields.peek("type").and_then(Node::text).as_deref() {
        None if fields.peek("role").is_some() => message(fields, true)?,
        Some("message") => message(fields, false)?,
        Some("reasoning") => {
            thinking::read(fields)?.map(|(parts, seal)| Item { seal, ..Item::new(Role::Assistant, parts, at.clone()) })
        }
        Some("function_call") => said(call::read(fields, CallKind::Function)?.map(|part| vec![part]), &at),
        Some("custom_tool_call") => said(call::read(fields, CallKind::Custom)?.map(|part| vec![part]), &at),
        Some("function_call_output") if node.mode() == Mode::Request => {
            Some(Item::new(Role::Tool, vec![call::output(fields, CallKind::Function)?], at.clone()))
        }
        Some("custom_tool_call_output") if node.mode() == Mode::Request => {
            Some(Item::new(Role::Tool, vec![call::output(fields, CallKind::Custom)?], at.clone()))
        }
        None if node.mode() == Mode::Request && fields.text("type")?.is_none() && fields.peek("id").is_none() => {
            return Err(fields.error("type", "missing, expected the item's type"));
        }
        _ => None,
    };
    Ok(known.unwrap_or_else(|| opaque(&kind(node), node, at)))
}

/// The item's type; without one an item is a reference.
fn kind(node: Node<'_>) -> String {
    let word =
        node.fields(Place::root()).ok().and_then(|fields| fields.peek("type")?.text().map(|word| word.into_owned()));
    word.unwrap_or_else(|| "item_reference".to_owned())
}

fn said(parts: Option<Vec<Part>>, at: &Place) -> Option<Item> {
    parts.map(|parts| Item::new(Role::Assistant, parts, at.clone()))
}

fn opaque(name: &str, node: Node<'_>, at: Place) -> Item {
    let role = match name {
        name if CALLERS.contains(&name) => Role::User,
        name if name.ends_with("_output") || name == "mcp_approval_response" => Role::Tool,
        _ => Role::Assistant,
    };
    Item::new(role, vec![content::opaque(name, node, at.clone(), 0)], at)
}

/// A message. `None` in an answer if it is no assistant's.
fn message(mut fields: Fields<'_>, untyped: bool) -> Result<Option<Item>, DecodeError> {
    let (mode, at) = (fields.mode(), fields.at().clone());
    let role = match (fields.text("role")?.as_deref(), mode) {
        (Some("assistant"), _) => Role::Assistant,
        (Some("user"), Mode::Request) => Role::User,
        (Some("system"), Mode::Request) => Role::System,
        (Some("developer"), Mode::Request) => Role::Developer,
        (_, Mode::Answer) => return Ok(None),
        (None, Mode::Request) => return Err(fields.error("role", "missing, expected a role")),
        (Some(other), Mode::Request) => {
            let known = "expected system, developer, user or assistant";
            return Err(fields.error("role", format!("unknown role {other:?}, {known}")));
        }
    };
    fields.take("type");
    let bits = bit_if(untyped, NO_TYPE);
    if role == Role::Assistant {
        return Ok(Some(Item::new(role, assistant(fields, bits)?, at)));
    }
    let parts = content::take(&mut fields, "content", false)?;
    let extra = call::quiet(fields.rest(RESPONSES));
    Ok(Some(Item { role, parts, seal: None, form: form(bits), at, extra }))
}

fn assistant(mut fields: Fields<'_>, bits: u16) -> Result<Vec<Part>, DecodeError> {
    let at = fields.at().clone();
    let mut parts = content::take(&mut fields, "content", true)?;
    if parts.is_empty() {
        parts.push(Part { at, form: form(HOLLOW), ..Part::text("") });
    }
    if let Some(first) = parts.first_mut() {
        first.form = form(first.form.bits(RESPONSES) | bits);
        first.signature = seals::take_google(&mut fields)?;
    }
    let id = fields.word("id")?;
    attach(&mut parts, id, fields.rest(RESPONSES));
    Ok(parts)
}

/// Keeps an item's id with its first part and its other members with its last, as quiet members,
/// unless there is one among them that may say something.
pub(super) fn attach(parts: &mut [Part], id: Option<String>, rest: Extra) {
    if let (Some(first), Some(id)) = (parts.first_mut(), id) {
        first.extra.update(item_id(&id));
    }
    let Some(last) = parts.last_mut().filter(|_| !rest.is_empty()) else { return };
    let rest = call::quiet(rest);
    let loud = rest.loud().iter().any(|(_, value)| !value.is_empty());
    let json = Json::checked(&write::object(|o| o.extra(&rest, RESPONSES)));
    last.extra.update(Extra::new(RESPONSES, vec![(ITEM.to_owned(), json)]).quieten(|_| !loud));
}

/// An item's id, as a quiet member of its first part.
pub(super) fn item_id(id: &str) -> Extra {
    Extra::new(RESPONSES, vec![(ITEM_ID.to_owned(), Json::string(id))]).quieten(|_| true)
}

/// An item's other members, kept with its last part.
pub(super) fn kept(part: &Part) -> Extra {
    let read = || {
        let json = part.extra.get(RESPONSES, ITEM)?;
        let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
        Some(node.fields(Place::root()).ok()?.rest(RESPONSES))
    };
    read().unwrap_or_default()
}

/// The id kept with an item's first part.
pub(super) fn kept_id(part: &Part) -> Option<String> {
    let json = part.extra.get(RESPONSES, ITEM_ID)?;
    let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
    node.text().map(std::borrow::Cow::into_owned)
}
