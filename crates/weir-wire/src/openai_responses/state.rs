//! What a request refers to instead of saying it: an earlier answer, or a conversation.

use super::form::RESPONSES;
use crate::hub::{Json, Mode, Node, Place, Request, Turn};

/// Where the conversation before a request's input is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// With this answer (`previous_response_id`).
    Answer(String),
    /// In this conversation (`conversation`, an id or an object with one).
    Conversation(String),
}

/// Takes out what the request refers to, if anything. Whoever encodes it for another provider than
/// the one that keeps it must put the turns in its place ([`continue_from`]) or refuse the request:
/// left in, it is listed as a loss.
pub fn take_state(request: &mut Request) -> Option<State> {
    let answer = request.extra.remove(RESPONSES, "previous_response_id").as_ref().and_then(id);
    let conversation = request.extra.remove(RESPONSES, "conversation").as_ref().and_then(id);
    answer.map(State::Answer).or(conversation.map(State::Conversation))
}

/// The id in a string, or in an object's `id`.
fn id(json: &Json) -> Option<String> {
    let node = Node::of_body(json.as_str().as_bytes(), Mode::Answer).ok()?;
    match node.text() {
        Some(text) => Some(text.into_owned()),
        None => node.fields(Place::root()).ok()?.word("id").ok()?,
    }
}

/// Puts the turns of the earlier exchange before the request's own, behind its instructions.
/// Instructions of earlier requests do not carry over: leave them out.
pub fn continue_from(request: &mut Request, earlier: Vec<Turn>) {
    let own = request.turns.iter().take_while(|turn| turn.form.has(RESPONSES, super::form::INSTRUCTIONS)).count();
    request.turns.splice(own..own, earlier);
}

#[cfg(test)]
mod tests {
    use super::super::decode_request;
    use super::*;
    use crate::hub::{Part, Role};

    #[test]
    fn the_conversation_before_is_known_and_put_in_its_place() {
        let read = |text: &str| decode_request(text.as_bytes()).unwrap();
        let mut request = read(r#"{"instructions":"be brief","input":"b","previous_response_id":"resp_1"}"#);
        assert_eq!(take_state(&mut request), Some(State::Answer("resp_1".into())));
        assert_eq!(take_state(&mut request), None);
        assert!(request.extra.is_empty());
        continue_from(&mut request, vec![Turn::new(Role::User, vec![Part::text("a")])]);
        let said: Vec<_> = request.turns.iter().filter_map(|turn| turn.parts[0].as_text()).collect();
        assert_eq!(said, ["be brief", "a", "b"]);
        for conversation in [r#""conv_1""#, r#"{"id":"conv_1"}"#] {
            let mut request = read(&format!(r#"{{"input":"b","conversation":{conversation}}}"#));
            assert_eq!(take_state(&mut request), Some(State::Conversation("conv_1".into())));
        }
    }
}
