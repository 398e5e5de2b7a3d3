//! What a response repeats of its request.

use super::encode_request::encode_request;
use super::form::RESPONSES;
use crate::hub::{Capabilities, Extra, Mode, Node, Place, Request, Target};

/// The members of a request that its response repeats.
const ECHOED: [&str; 20] = [
    "background",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// What a response to this request, which came in this dialect, repeats of it: for the extra of
/// the head of an answer that comes from another dialect ([`crate::hub::Head::extra`]).
#[must_use]
pub fn echo(request: &Request) -> Extra {
    let capabilities = Capabilities::default();
    let target = Target { model: "", capabilities: &capabilities, caller: RESPONSES };
    let read = || {
        let encoded = encode_request(request, &target).ok()?;
        let node = Node::of_body(encoded.body.as_bytes(), Mode::Answer).ok()?;
        Some(node.fields(Place::root()).ok()?.rest(RESPONSES))
    };
    let members = read().unwrap_or_default().members().to_vec();
    let members = members.into_iter().filter(|(name, _)| ECHOED.contains(&name.as_str())).collect();
    Extra::new(RESPONSES, members).quieten(|_| true)
}
