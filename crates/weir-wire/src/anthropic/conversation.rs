//! The turns, written: `system` and `messages`.

use super::blocks;
use super::encode_request::Writing;
use super::form::{LIST, MESSAGE, OWN};
use crate::hub::write::{self, Obj};
use crate::hub::{Extra, LossKind, Part, PartKind, Place, Request, Role, Turn};

/// Writes `system` and `messages`. An `instruction` of Weir's own stands behind the caller's.
pub(super) fn write(o: &mut Obj<'_>, request: &Request, instruction: Option<&str>, writing: &mut Writing<'_>) {
    let leading = request.split_instructions().0;
    let first = leading.iter().take_while(|turn| !turn.form.has(OWN, MESSAGE)).count();
    let (instructions, said) = request.turns.split_at(first);
    system(o, instructions, instruction, writing);
    prefill(request, writing);
    let messages: Vec<String> = if writing.same() {
        said.iter().filter_map(|turn| as_written(turn, writing)).collect()
    } else {
        complete(request, writing);
        conversation(request, writing).into_iter().filter_map(|message| message.text(writing)).collect()
    };
    o.raw("messages", &format!("[{}]", messages.join(",")));
}

/// Writes the instructions at the start.
fn system(o: &mut Obj<'_>, turns: &[Turn], instruction: Option<&str>, writing: &mut Writing<'_>) {
    turns.iter().for_each(|turn| note(turn, writing));
    let own = instruction.map(Part::text);
    let parts: Vec<&Part> = turns.iter().flat_map(|turn| &turn.parts).chain(own.as_ref()).collect();
    for part in &parts {
        if part.as_text().is_none() && !writing.same() && !matches!(part.kind, PartKind::Refusal(_)) {
            writing.losses.refuse_part(part, "cannot be an instruction: instructions are text");
        }
    }
    let texts: Vec<&Part> = parts.into_iter().filter(|part| writing.same() || !part.is_blank()).collect();
    match texts[..] {
        [] => {}
        [only] if is_bare(only) => {
            blocks::note(only, writing);
            o.opt_text("system", only.as_text());
        }
        _ => {
            let texts: Vec<String> = texts.iter().filter_map(|part| blocks::block(part, writing)).collect();
            o.raw("system", &format!("[{}]", texts.join(",")));
        }
    }
}

/// Whether a part alone can be the string itself.
fn is_bare(part: &Part) -> bool {
    part.as_text().is_some() && part.cache.is_none() && !part.form.has(OWN, LIST)
}

fn note(turn: &Turn, writing: &mut Writing<'_>) {
    writing.losses.extra(&turn.extra, &turn.at);
    if turn.name.is_some() {
        let at = turn.at.member("name");
        writing.losses.add(at.as_str(), LossKind::Dropped, "speakers have no names here");
    }
}

/// A turn of this dialect, written as it was.
fn as_written(turn: &Turn, writing: &mut Writing<'_>) -> Option<String> {
    note(turn, writing);
    let role = match turn.role {
        Role::System | Role::Developer => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    };
    writing.by_model = turn.role == Role::Assistant;
    let content = content(turn.parts.iter().map(Piece::Said).collect::<Vec<_>>().as_slice(), writing);
    // A turn of which nothing is left, such as one of another model's thoughts, is none.
    if content.is_none() && !turn.parts.is_empty() {
        return None;
    }
    Some(message(role, content.as_deref(), &turn.extra))
}

fn message(role: &str, content: Option<&str>, extra: &Extra) -> String {
    write::object(|o| {
        o.text("role", role);
        if let Some(content) = content {
            o.raw("content", content);
        }
        o.extra(extra, OWN);
    })
}

/// `content`; `None` if nothing is said.
fn content(pieces: &[Piece<'_>], writing: &mut Writing<'_>) -> Option<String> {
    if let [Piece::Said(only)] = pieces
        && is_bare(only)
    {
        blocks::note(only, writing);
        return only.as_text().map(crate::json::quote);
    }
    let texts: Vec<String> = pieces.iter().filter_map(|piece| piece.text(writing)).collect();
    (!texts.is_empty()).then(|| format!("[{}]", texts.join(",")))
}

/// What a message is made of.
#[derive(Clone, Copy)]
enum Piece<'r> {
    Said(&'r Part),
    /// An instruction behind the start, said as the user.
    Instruction(&'r Part),
    /// An answer begun by the caller, without the white space at its end.
    Begun(&'r Part),
}

impl Piece<'_> {
    fn text(&self, writing: &mut Writing<'_>) -> Option<String> {
        match self {
            Self::Said(part) => blocks::block(part, writing),
            Self::Begun(part) => {
                let words = part.as_text()?.trim_end();
                blocks::block(&Part { cache: part.cache.clone(), at: part.at.clone(), ..Part::text(words) }, writing)
            }
            Self::Instruction(part) => {
                let words = format!("<system>\n{}\n</system>", part.as_text()?);
                blocks::block(&Part { cache: part.cache.clone(), at: part.at.clone(), ..Part::text(words) }, writing)
            }
        }
    }

    fn is_result(&self) -> bool {
        matches!(self, Self::Said(part) if matches!(part.kind, PartKind::ToolResult(_)))
    }

    fn is_call(&self) -> bool {
        matches!(self, Self::Said(part) if matches!(part.kind, PartKind::ToolCall(_)))
    }
}

/// A message of another dialect's conversation.
struct Message<'r> {
    role: &'static str,
    pieces: Vec<Piece<'r>>,
}

impl Message<'_> {
    fn text(&self, writing: &mut Writing<'_>) -> Option<String> {
        writing.by_model = self.role == "assistant";
        let content = content(&self.pieces, writing)?;
        Some(message(self.role, Some(&content), &Extra::default()))
    }
}

/// Another dialect's turns as messages: one for each side's turns together, results first.
fn conversation<'r>(request: &'r Request, writing: &mut Writing<'_>) -> Vec<Message<'r>> {
    request.split_instructions().1.iter().for_each(|turn| note(turn, writing));
    let mut messages: Vec<Message<'r>> = Vec::new();
    for round in request.rounds() {
        let late = round.role.instructs();
        let said_by_user = late && !writing.capabilities().late_instructions;
        if said_by_user {
            let why = "the model takes instructions at the start alone: said as the user";
            writing.losses.add(round.at.as_str(), LossKind::Coerced, why);
        }
        let role = match round.role {
            Role::Assistant => "assistant",
            _ if late && !said_by_user => "system",
            _ => "user",
        };
        let piece = |part: &&'r Part| if said_by_user { Piece::Instruction(part) } else { Piece::Said(part) };
        let pieces = round.parts.iter().filter(|part| !blocks::silent(part, writing)).map(piece);
        match messages.last_mut().filter(|last| last.role == role) {
            Some(last) => last.pieces.extend(pieces),
            None => messages.push(Message { role, pieces: pieces.collect() }),
        }
    }
    order(&mut messages);
    if let Some(last) = messages.last_mut().filter(|last| last.role == "assistant") {
        begin(last, writing);
    }
    messages
}

/// An answer begun by the caller may not end in white space.
fn begin(message: &mut Message<'_>, writing: &mut Writing<'_>) {
    let Some(Piece::Said(part)) = message.pieces.last().copied() else { return };
    if part.as_text().is_some_and(|text| text.trim_end() != text) {
        writing.losses.add(part.at.as_str(), LossKind::Coerced, "the white space at the end of a begun answer");
        message.pieces.pop();
        message.pieces.push(Piece::Begun(part));
    }
}

/// Puts results first in their message, and their message next to the calls': instructions between
/// the two follow.
fn order(messages: &mut [Message<'_>]) {
    for at in 1..messages.len().saturating_sub(1) {
        let called = messages[at - 1].pieces.iter().any(Piece::is_call);
        if called && messages[at].role == "system" && messages[at + 1].pieces.iter().any(Piece::is_result) {
            messages.swap(at, at + 1);
        }
    }
    for message in messages {
        message.pieces.sort_by_key(|piece| !piece.is_result());
    }
}

/// Refuses what providers of this dialect refuse without naming the caller's place: a call that
/// has no result.
fn complete(request: &Request, writing: &mut Writing<'_>) {
    if let Some((at, id)) = request.unanswered().first() {
        let at: &Place = at;
        writing.losses.refuse(at.as_str(), format!("the tool call {id} has no result: send one behind it"));
    }
}

/// Refuses an answer begun by the caller, where the model does not go on with it.
fn prefill(request: &Request, writing: &mut Writing<'_>) {
    let Some(last) = request.turns.last().filter(|turn| turn.role == Role::Assistant) else { return };
    let begun = last.parts.last().is_some_and(|part| part.as_text().is_some());
    if begun && !writing.capabilities().prefill {
        let why = "the model does not go on with words of its own: end with the user's";
        writing.losses.refuse(last.at.as_str(), why);
    }
}
