//! Log probabilities: `logprobsResult`. Read and written.

use super::form::GEMINI;
use crate::hub::write::{Arr, Obj};
use crate::hub::{DecodeError, Fields, Logprobs, Node, Place, TokenLogprob};
use crate::json::Kind;

/// Takes the log probabilities, if they are as they should be; else they are left.
pub(super) fn take(fields: &mut Fields<'_>) -> Option<Logprobs> {
    let node = fields.peek("logprobsResult").filter(|node| node.kind == Kind::Object)?;
    let read = read(node).ok()??;
    fields.take("logprobsResult");
    Some(read)
}

/// `None` unless each chosen token has its alternatives, or none has.
fn read(node: Node<'_>) -> Result<Option<Logprobs>, DecodeError> {
    let mut fields = node.fields(Place::root())?;
    let chosen = fields.list("chosenCandidates")?;
    let tops = fields.list("topCandidates")?;
    if chosen.is_empty() || (!tops.is_empty() && tops.len() != chosen.len()) {
        return Ok(None);
    }
    let mut content = chosen.into_iter().map(|(at, node)| token(node, at)).collect::<Result<Vec<_>, _>>()?;
    for (one, (at, node)) in content.iter_mut().zip(tops) {
        let mut top = node.fields(at)?;
        let candidates = top.list("candidates")?;
        if candidates.is_empty() || !top.is_empty() {
            return Ok(None);
        }
        one.top = candidates.into_iter().map(|(at, node)| token(node, at)).collect::<Result<_, _>>()?;
    }
    Ok(Some(Logprobs { content, refusal: Vec::new(), extra: fields.rest(GEMINI) }))
}

fn token(node: Node<'_>, at: Place) -> Result<TokenLogprob, DecodeError> {
    let mut fields = node.fields(at)?;
    let token = fields.require_text("token")?;
    let logprob = fields.num("logProbability")?;
    let logprob = logprob.ok_or_else(|| fields.error("logProbability", "missing, expected a number"))?;
    Ok(TokenLogprob { token, logprob, bytes: None, top: Vec::new(), extra: fields.rest(GEMINI) })
}

/// Writes `logprobsResult`.
pub(super) fn write(o: &mut Obj<'_>, logprobs: &Logprobs) {
    let tokens: Vec<&TokenLogprob> = logprobs.content.iter().chain(&logprobs.refusal).collect();
    o.object("logprobsResult", |o| {
        o.array("chosenCandidates", |a| tokens.iter().for_each(|token| write_token(a, token)));
        if tokens.iter().any(|token| !token.top.is_empty()) {
            o.array("topCandidates", |a| {
                for token in &tokens {
                    a.object(|o| o.array("candidates", |a| token.top.iter().for_each(|token| write_token(a, token))));
                }
            });
        }
        o.extra(&logprobs.extra, GEMINI);
    });
}

fn write_token(a: &mut Arr<'_>, token: &TokenLogprob) {
    a.object(|o| {
        o.text("token", &token.token);
        o.opt_num("logProbability", Some(&token.logprob));
        o.extra(&token.extra, GEMINI);
    });
}
