//! Log probabilities of a text's tokens. Read and written.

use super::form::RESPONSES;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Json, Logprobs, Mode, Node, Part, Place, TokenLogprob};
use crate::json::Kind;

/// Those kept with a part, if they are as they should be.
pub(super) fn of_part(part: &Part) -> Option<Logprobs> {
    read(part.extra.get(RESPONSES, "logprobs")?)
}

/// Reads a list of tokens; `None` if it is empty or no such list.
pub(super) fn read(json: &Json) -> Option<Logprobs> {
    let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
    let content = tokens(node).ok().filter(|tokens| !tokens.is_empty())?;
    Some(Logprobs { content, ..Logprobs::default() })
}

fn tokens(node: Node<'_>) -> Result<Vec<TokenLogprob>, DecodeError> {
    node.items(&Place::root())?.into_iter().map(|(at, node)| token(node, at, true)).collect()
}

/// One token, with its alternatives if `whole`: an alternative has none.
fn token(node: Node<'_>, at: Place, whole: bool) -> Result<TokenLogprob, DecodeError> {
    let mut fields = node.fields(at)?;
    let token_text = fields.require_text("token")?;
    let logprob = fields.num("logprob")?.ok_or_else(|| fields.error("logprob", "missing, expected a number"))?;
    let bytes = fields.take_kind("bytes", Kind::Array)?.map(Node::json);
    let mut top = Vec::new();
    if whole {
        for (at, node) in fields.list("top_logprobs")? {
            top.push(token(node, at, false)?);
        }
    }
    Ok(TokenLogprob { token: token_text, logprob, bytes, top, extra: fields.rest(RESPONSES) })
}

/// Writes one token's members.
pub(super) fn write(o: &mut Obj<'_>, token: &TokenLogprob) {
    one(o, token);
    o.array("top_logprobs", |a| token.top.iter().for_each(|token| a.object(|o| one(o, token))));
}

fn one(o: &mut Obj<'_>, token: &TokenLogprob) {
    o.text("token", &token.token);
    o.opt_num("logprob", Some(&token.logprob));
    match &token.bytes {
        Some(bytes) => o.raw("bytes", bytes.as_str()),
        None => o.array("bytes", |a| token.token.bytes().for_each(|byte| a.raw(&byte.to_string()))),
    }
}
