//! What sort of failure an error's words and status mean.
//!
//! Providers disagree about statuses (no credit is 400, 402, 403 or 429) and about words (a type
//! `invalid_request_error` comes with wrong keys and unknown models too). Hence this order: phrases
//! that outrank every word, words that mean one thing everywhere, phrases of the message, the
//! status, and words that say little.
//!
//! Source: the providers' pages of error codes, and their SDKs' lists of exceptions.

use super::{ErrorClass, UpstreamError};
use ErrorClass::{
    Authentication, ContentFilter, ContextLength, InvalidRequest, NotFound, Overloaded, Permission, Quota, RateLimit,
    Server, Timeout, TooLarge,
};

/// The class of an error with this status (`None`: it stood inside a 200) and further words of it.
pub(super) fn class(status: Option<u16>, error: &UpstreamError, hints: &[String]) -> ErrorClass {
    let words: Vec<String> = [&error.code, &error.kind]
        .into_iter()
        .flatten()
        .chain(hints)
        .filter(|word| !word.contains(' '))
        .map(|word| squeeze(word))
        .collect();
    // A 5xx around an error with a status of its own is a router's (OpenRouter, our own 502).
    let status = match status {
        Some(status @ 400..500) => Some(status),
        other => error.status().or(other),
    };
    let message = error.message.to_ascii_lowercase();
    let told = || by_phrase(PHRASES, status, &message);
    let found = by_phrase(FIRST, status, &message).or_else(|| by_word(&words, STRONG)).or_else(told);
    // Groq: more tokens in one request than a minute has. No waiting helps.
    let found = found.filter(|class| status != Some(413) || *class == ContextLength);
    let status = status.map(ErrorClass::of_status).filter(|class| *class != ErrorClass::Unknown);
    found.or(status).or_else(|| by_word(&words, WEAK)).unwrap_or_default()
}

/// A word without its case, its punctuation and what all exceptions end in.
fn squeeze(word: &str) -> String {
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let short = plain.strip_suffix("exception").or_else(|| plain.strip_suffix("error"));
    short.unwrap_or(&plain).to_owned()
}

fn by_word(words: &[String], table: &[(Match, ErrorClass)]) -> Option<ErrorClass> {
    let fits = |word: &String| table.iter().find(|(rule, _)| rule.fits(word)).map(|(_, class)| *class);
    words.iter().find_map(fits)
}

fn by_phrase(table: &[(&[u16], &str, ErrorClass)], status: Option<u16>, message: &str) -> Option<ErrorClass> {
    let fits = |statuses: &[u16]| status.is_none_or(|status| statuses.contains(&status));
    let has = |phrase: &str| phrase.split('*').all(|part| message.contains(part));
    table.iter().find(|(statuses, phrase, _)| fits(statuses) && has(phrase)).map(|(_, _, class)| *class)
}

/// How a squeezed word is recognised.
enum Match {
    /// It is this word.
    Is(&'static str),
    /// It has this in it.
    Has(&'static str),
}

impl Match {
    fn fits(&self, word: &str) -> bool {
        match self {
            Self::Is(whole) => word == *whole,
            Self::Has(part) => word.contains(part),
        }
    }
}

use Match::{Has, Is};

/// Words that mean the same wherever they come from. The first that fits counts.
const STRONG: &[(Match, ErrorClass)] = &[
    (Has("contextlength"), ContextLength),
    (Has("contextwindow"), ContextLength),
    (Has("contextsize"), ContextLength),
    (Has("prompttoolong"), ContextLength),
    (Has("contentfilter"), ContentFilter),
    (Has("contentpolicy"), ContentFilter),
    (Has("policyviolation"), ContentFilter),
    (Has("datainspection"), ContentFilter),
    (Has("prohibitedcontent"), ContentFilter),
    (Has("moderation"), ContentFilter),
    (Has("biopolicy"), ContentFilter),
    (Has("insufficientquota"), Quota),
    (Has("insufficientbalance"), Quota),
    (Has("insufficientcredit"), Quota),
    (Has("exceededcurrentquota"), Quota),
    (Has("billing"), Quota),
    (Has("paymentrequired"), Quota),
    (Is("arrearage"), Quota),
    (Is("servicequotaexceeded"), RateLimit),
    (Has("ratelimit"), RateLimit),
    (Has("throttl"), RateLimit),
    (Has("toomanyrequests"), RateLimit),
    (Has("resourceexhausted"), RateLimit),
    (Has("capacityexceeded"), RateLimit),
    (Is("limitrequests"), RateLimit),
    (Is("requests"), RateLimit),
    (Is("tokens"), RateLimit),
    (Has("overloaded"), Overloaded),
    (Has("unavailable"), Overloaded),
    (Is("slowdown"), Overloaded),
    (Is("modelnotready"), Overloaded),
    (Has("deadlineexceeded"), Timeout),
    (Has("timeout"), Timeout),
    (Has("timedout"), Timeout),
    (Has("apikey"), Authentication),
    (Has("authentication"), Authentication),
    (Is("unauthenticated"), Authentication),
    (Is("unauthorized"), Authentication),
    (Has("expiredtoken"), Authentication),
    (Has("unrecognizedclient"), Authentication),
    (Has("invalidsignature"), Authentication),
    (Has("credentialsmissing"), Authentication),
    (Has("permission"), Permission),
    (Has("accessdenied"), Permission),
    (Is("forbidden"), Permission),
    (Has("unsupportedcountry"), Permission),
    (Has("modelnotfound"), NotFound),
    (Is("modelnotsupported"), NotFound),
    (Is("notfound"), NotFound),
    (Is("resourcenotfound"), NotFound),
    (Is("deploymentnotfound"), NotFound),
    (Has("requesttoolarge"), TooLarge),
    (Has("payloadtoolarge"), TooLarge),
    (Has("entitytoolarge"), TooLarge),
];

/// Words that say little, and nothing beside a status.
const WEAK: &[(Match, ErrorClass)] = &[
    (Has("invalid"), InvalidRequest),
    (Has("validation"), InvalidRequest),
    (Has("badrequest"), InvalidRequest),
    (Has("unsupported"), InvalidRequest),
    (Has("missing"), InvalidRequest),
    (Has("failedprecondition"), InvalidRequest),
    (Has("notfound"), NotFound),
    (Has("internal"), Server),
    (Has("server"), Server),
    (Is("api"), Server),
    (Has("modelstream"), Server),
    (Is("model"), Server),
];

/// Where a request may be refused for what is in it.
const REFUSED: &[u16] = &[400, 403, 413, 422, 500];
/// Where an account may be refused.
const UNPAID: &[u16] = &[400, 402, 403, 429];
/// Where a wrong name or key may hide.
const WRONG: &[u16] = &[400, 422];
/// Where a lack of capacity may hide.
const FAILED: &[u16] = &[429, 500, 502];

/// Phrases that outrank every word, in small letters; a `*` stands for anything.
const FIRST: &[(&[u16], &str, ErrorClass)] = &[
    (UNPAID, "credit balance is too low", Quota),
    (UNPAID, "insufficient credits", Quota),
    (UNPAID, "insufficient balance", Quota),
    (UNPAID, "any credits", Quota),
    (UNPAID, "all available credits", Quota),
    (UNPAID, "monthly spending limit", Quota),
    (UNPAID, "monthly included credits", Quota),
];

/// Phrases of messages whose words do not tell.
const PHRASES: &[(&[u16], &str, ErrorClass)] = &[
    (UNPAID, "exceeded your current quota", Quota),
    (REFUSED, "context length", ContextLength),
    (REFUSED, "context window", ContextLength),
    (REFUSED, "context limit", ContextLength),
    (REFUSED, "context size", ContextLength),
    (REFUSED, "prompt is too long", ContextLength),
    (REFUSED, "prompt too long", ContextLength),
    (REFUSED, "input is too long", ContextLength),
    (REFUSED, "too many tokens", ContextLength),
    (REFUSED, "too many input tokens", ContextLength),
    (REFUSED, "maximum prompt length", ContextLength),
    (REFUSED, "exceeds the maximum number of tokens", ContextLength),
    (REFUSED, "tokens in request more than max tokens", ContextLength),
    (REFUSED, "`inputs` tokens + `max_new_tokens`", ContextLength),
    (REFUSED, "`inputs` must have less than", ContextLength),
    (REFUSED, "content management policy", ContentFilter),
    (REFUSED, "content filter", ContentFilter),
    (REFUSED, "content policy", ContentFilter),
    (REFUSED, "safety system", ContentFilter),
    (REFUSED, "content exists risk", ContentFilter),
    (REFUSED, "inappropriate content", ContentFilter),
    (REFUSED, "violates usage guidelines", ContentFilter),
    (WRONG, "api key not valid", Authentication),
    (WRONG, "incorrect api key", Authentication),
    (WRONG, "invalid api key", Authentication),
    (WRONG, "api key expired", Authentication),
    (WRONG, "model identifier is invalid", NotFound),
    (WRONG, "not a valid model", NotFound),
    (WRONG, "model not exist", NotFound),
    (WRONG, "model*does not exist", NotFound),
    (WRONG, "model*is not supported. supported models", NotFound),
    (FAILED, "overloaded", Overloaded),
    (FAILED, "over capacity", Overloaded),
    (FAILED, "server busy", Overloaded),
    (FAILED, "is currently loading", Overloaded),
];
