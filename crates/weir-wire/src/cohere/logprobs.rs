//! Log probabilities: of pieces of text, each of one or several tokens. Read and written.

use super::form::COHERE;
use crate::hub::write::Obj;
use crate::hub::{DecodeError, Fields, Logprobs, Node, Num, Place, TokenLogprob};
use crate::json::Kind;

/// Takes the log probabilities of an answer, if they are as they should be; else they are left.
pub(super) fn take(fields: &mut Fields<'_>) -> Option<Logprobs> {
    let node = fields.peek("logprobs").filter(|node| node.kind == Kind::Array)?;
    let items = node.items(&Place::root()).ok().filter(|items| !items.is_empty())?;
    let content = items.into_iter().map(|(_, node)| piece(node).ok().flatten()).collect::<Option<Vec<_>>>()?;
    fields.take("logprobs");
    Some(Logprobs { content, ..Logprobs::default() })
}

/// One piece: its text, and as its logarithm the sum of its tokens'. `None` if it says none.
pub(super) fn piece(node: Node<'_>) -> Result<Option<TokenLogprob>, DecodeError> {
    if node.kind != Kind::Object {
        return Ok(None);
    }
    let mut fields = node.fields(Place::root())?;
    let Some(list) = fields.peek("logprobs").filter(|node| node.kind == Kind::Array) else { return Ok(None) };
    let items = list.items(&Place::root())?;
    if items.is_empty() || items.iter().any(|(_, item)| item.kind != Kind::Number) {
        return Ok(None);
    }
    let logprob = match &items[..] {
        [(_, only)] => {
            fields.take("logprobs");
            Num::checked(only.raw)
        }
        all => Num::decimal(all.iter().map(|(_, item)| Num::checked(item.raw).as_f64()).sum()),
    };
    let token = fields.word("text")?.unwrap_or_default();
    Ok(Some(TokenLogprob { token, logprob, bytes: None, top: Vec::new(), extra: fields.rest(COHERE) }))
}

/// Writes the log probabilities of an answer that came in this dialect.
pub(super) fn write(o: &mut Obj<'_>, logprobs: &Logprobs) {
    o.array("logprobs", |a| {
        for token in &logprobs.content {
            a.object(|o| {
                if !token.token.is_empty() {
                    o.text("text", &token.token);
                }
                if token.extra.get(COHERE, "logprobs").is_none() {
                    o.array("logprobs", |a| a.raw(token.logprob.as_str()));
                }
                o.extra(&token.extra, COHERE);
            });
        }
    });
}
