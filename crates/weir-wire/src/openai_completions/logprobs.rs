//! Log probabilities in four lists of the same length, as text completions have them.

use crate::hub::{Logprobs, TokenLogprob, write};

/// The JSON of `logprobs`. `offset` is where the first token begins in the answer's text, in characters;
/// the second of the return is where the next one does.
pub(super) fn text_of(all: &Logprobs, offset: u64) -> (String, u64) {
    // A refusal is said as text.
    let tokens = || all.content.iter().chain(&all.refusal);
    let mut next = offset;
    let offsets: Vec<String> = tokens()
        .map(|token| {
            let at = next;
            next = next.saturating_add(token.token.chars().count() as u64);
            at.to_string()
        })
        .collect();
    let text = write::object(|o| {
        o.array("tokens", |a| tokens().for_each(|token| a.text(&token.token)));
        o.array("token_logprobs", |a| tokens().for_each(|token| a.raw(token.logprob.as_str())));
        if tokens().any(|token| !token.top.is_empty()) {
            o.array("top_logprobs", |a| tokens().for_each(|token| a.raw(&likeliest(token))));
        } else {
            o.null("top_logprobs");
        }
        o.raw("text_offset", &format!("[{}]", offsets.join(",")));
    });
    (text, next)
}

/// The likeliest tokens in one's place, an object of their logarithms. Of tokens that read the same
/// (pieces of one character) the likelier, which stands first, is kept.
fn likeliest(token: &TokenLogprob) -> String {
    let mut seen = std::collections::HashSet::new();
    let members: Vec<String> = token
        .top
        .iter()
        .filter(|top| seen.insert(top.token.as_str()))
        .map(|top| format!("{}:{}", crate::json::quote(&top.token), top.logprob.as_str()))
        .collect();
    format!("{{{}}}", members.join(","))
}
