//! A session that runs away is stopped before it costs any more.

use http::{HeaderMap, StatusCode};
use weir_wire::request::Peek;

use crate::error::ApiError;
use crate::flight::Flight;
use crate::gate::brake::{Reached, SessionId};
use crate::state::Gateway;

/// Where a caller names its session.
const HEADER: &str = "x-weir-session";
/// The tag that names it, too.
const TAG: &str = "session";

/// Counts the request into its session, if it has one: what `x-weir-session` names, else the tag
/// `session`, else the body's `user` (`metadata.user_id`, as Claude Code sends it).
///
/// # Errors
/// 429 when the session has reached a limit.
pub(super) fn check(gateway: &Gateway, flight: &Flight, headers: &HeaderMap, peek: &Peek, body: &[u8]) -> Result<(), ApiError> {
    if !gateway.brake.is_on() {
        return Ok(());
    }
    let Some(id) = session(gateway, flight, headers, peek) else { return Ok(()) };
    gateway.brake.turn(id, body, flight.now()).map_err(|reached| stopped(flight, reached))?;
    flight.draft().session = Some((std::sync::Arc::clone(&gateway.brake), id));
    Ok(())
}

fn session(gateway: &Gateway, flight: &Flight, headers: &HeaderMap, peek: &Peek) -> Option<SessionId> {
    let draft = flight.draft();
    let owner = draft.caller.as_ref().map_or("", |caller| caller.key.id.as_str());
    let named = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let tagged = || draft.tags.iter().find(|(name, _)| name == TAG).map(|(_, value)| value.as_str());
    let name = named.or_else(tagged).or(peek.user.as_deref()).filter(|name| !name.is_empty())?;
    Some(gateway.brake.session(owner, name))
}

fn stopped(flight: &Flight, reached: Reached) -> ApiError {
    let why = match reached {
        Reached::Spend(most) => format!("it has spent {most} USD, as much as a session may (brake.session_usd)"),
        Reached::Turns(most) => format!("it has made {most} requests, as many as a session may (brake.session_turns)"),
        Reached::Repeats(most) => format!("it has repeated one request {most} times, as often as it may (brake.repeats)"),
    };
    flight.metrics().rate_limited("brake");
    let message = format!("this session is stopped: {why}; a new session goes on");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "requests", "session_stopped", message).no_retry()
}
