//! Log probabilities of the answer's tokens. Read and written.

use super::form::OLLAMA;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Fields, Logprobs, Node, Place, TokenLogprob};
use crate::json::Kind;

/// Takes the log probabilities of an answer, if they are as they should be; else they are left.
pub(super) fn take(fields: &mut Fields<'_>) -> Option<Logprobs> {
    let node = fields.peek("logprobs").filter(|node| node.kind == Kind::Array)?;
    let content = tokens(node, true).ok().flatten().filter(|tokens| !tokens.is_empty())?;
    fields.take("logprobs");
    Some(Logprobs { content, ..Logprobs::default() })
}

/// The tokens of a list; `None` if one of them is none.
fn tokens(list: Node<'_>, outer: bool) -> Result<Option<Vec<TokenLogprob>>, DecodeError> {
    let mut all = Vec::new();
    for (_, node) in list.items(&Place::root())? {
        if node.kind != Kind::Object {
            return Ok(None);
        }
        let mut fields = node.fields(Place::root())?;
        let (Some(token), Some(logprob)) = (fields.text("token")?, fields.num("logprob")?) else { return Ok(None) };
        let top = match fields.peek("top_logprobs").filter(|node| outer && node.kind == Kind::Array) {
            Some(list) => tokens(list, false)?,
            None => Some(Vec::new()),
        };
        let Some(top) = top else { return Ok(None) };
        if !top.is_empty() {
            fields.take("top_logprobs");
        }
        let bytes = fields.take_kind("bytes", Kind::Array)?.map(Node::json);
        all.push(TokenLogprob { token, logprob, bytes, top, extra: fields.rest(OLLAMA) });
    }
    Ok(Some(all))
}

/// Writes log probabilities.
pub(super) fn write(o: &mut Obj<'_>, logprobs: &Logprobs) {
    let tokens = || logprobs.content.iter().chain(&logprobs.refusal);
    o.array("logprobs", |a| tokens().for_each(|token| a.object(|o| one(o, token))));
}

fn one(o: &mut Obj<'_>, token: &TokenLogprob) {
    o.text("token", &token.token);
    o.opt_num("logprob", Some(&token.logprob));
    o.opt_json("bytes", token.bytes.as_ref());
    if !token.top.is_empty() {
        o.array("top_logprobs", |a| token.top.iter().for_each(|token| a.object(|o| one(o, token))));
    }
    o.extra(&token.extra, OLLAMA);
}
