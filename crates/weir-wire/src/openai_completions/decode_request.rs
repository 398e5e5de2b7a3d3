//! A text completions request, read.

use crate::hub::{
    DecodeError, Dialect, Extra, Fields, Form, Mode, Node, Num, Params, Part, Place, Request, Role, Turn,
};
use crate::json::Kind;
use crate::openai_chat;

/// The most tokens that are generated if the caller does not say (the API's reference).
const DEFAULT_MAX_TOKENS: u64 = 16;

/// Reads a request. What it does not know is kept as members of OpenAI chat; what is of the wrong
/// kind, or would change the question if it were left out, is an error that names the place.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
    let mut request = Request { model: fields.text("model")?.unwrap_or_default(), ..Request::default() };
    request.turns.push(prompt(&mut fields)?);
    if fields.word("suffix")?.is_some() {
        let why = "the model writes behind a text alone: leave the suffix out and say in the prompt what follows";
        return Err(fields.error("suffix", why));
    }
    request.params = params(&mut fields)?;
    request.extra = rest(fields);
    Ok(request)
}

/// The prompt, as what the user says.
fn prompt(fields: &mut Fields<'_>) -> Result<Turn, DecodeError> {
    let at = fields.at().member("prompt");
    let missing = |fields: &Fields<'_>| fields.error("prompt", "missing or empty, expected a string");
    let Some(node) = fields.take("prompt") else { return Err(missing(fields)) };
    let node = match node.kind {
        Kind::Array => only(node, &at, fields)?,
        _ => node,
    };
    let Some(text) = node.text() else {
        let why = match node.kind {
            Kind::Number | Kind::Array => "token ids mean something to one tokenizer alone: send the text".to_owned(),
            kind => format!("expected a string, found {}", kind.name()),
        };
        return Err(fields.error("prompt", why));
    };
    if text.is_empty() {
        return Err(missing(fields));
    }
    let part = Part { at: at.clone(), ..Part::text(text) };
    Ok(Turn { at, ..Turn::new(Role::User, vec![part]) })
}

/// The one prompt of a list.
fn only<'a>(list: Node<'a>, at: &Place, fields: &Fields<'_>) -> Result<Node<'a>, DecodeError> {
    let items = list.items(at)?;
    match items[..] {
        [] => Err(fields.error("prompt", "missing or empty, expected a string")),
        [(_, only)] => Ok(only),
        [(_, first), ..] if first.kind == Kind::Number => Ok(first),
        _ => Err(fields.error("prompt", format!("{} prompts: send one request for each", items.len()))),
    }
}

/// The parameters: those of chat, except that `logprobs` is a number here.
fn params(fields: &mut Fields<'_>) -> Result<Params, DecodeError> {
    let logprobs = fields.count("logprobs")?;
    let mut params = openai_chat::take_params(fields)?;
    if let Some(top) = logprobs {
        params.logprobs = Some(true);
        params.top_logprobs = (top > 0).then(|| Num::whole(top));
    }
    if params.max_output.is_none() {
        params.max_output = Some(Num::whole(DEFAULT_MAX_TOKENS));
        let bits = params.form.bits(Dialect::OpenAiChat) | openai_chat::MAX_TOKENS;
        params.form = Form::new(Dialect::OpenAiChat, bits);
    }
    Ok(params)
}

/// Whether a member says no more than leaving it out does.
fn says_nothing(name: &str, value: &str) -> bool {
    match name {
        "echo" => value == "false",
        "best_of" => value == "1",
        _ => false,
    }
}

/// What is left, without what says nothing: a chat provider refuses members it does not know.
fn rest(fields: Fields<'_>) -> Extra {
    let all = fields.rest(Dialect::OpenAiChat);
    let says = |(name, value): &&(String, crate::hub::Json)| !value.is_empty() && !says_nothing(name, value.as_str());
    Extra::new(Dialect::OpenAiChat, all.members().iter().filter(says).cloned().collect())
}
