//! A request: the conversation so far, the tools, and how to go on.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Extra, Form, Ids, Params, Part, PartKind, Place, Tool, ToolChoice, ToolResult};

/// A request to a model, whatever dialect it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The model asked for. Empty where the dialect has it in the path and not in the body.
    pub model: String,
    /// The conversation, instructions included, in order.
    pub turns: Vec<Turn>,
    /// The tools.
    pub tools: Vec<Tool>,
    /// What must be called.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once.
    pub parallel_tools: Option<bool>,
    /// How the answer is to be made.
    pub params: Params,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

/// What one side says at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// The speaker's name (OpenAI).
    pub name: Option<String>,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// How the dialect spelt it.
    pub form: Form,
    /// Where it stood in the caller's body.
    pub at: Place,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

impl Turn {
    /// A turn of these parts and nothing more.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, name: None, parts, form: Form::default(), at: Place::root(), extra: Extra::default() }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions (`system`; Anthropic's and Gemini's top-level field).
    System,
    /// Instructions in OpenAI's newer word, which ranks below the provider's own.
    Developer,
    /// The user. May hold tool results, where the dialect puts them there.
    User,
    /// The model.
    Assistant,
    /// Tools, where the dialect gives them turns of their own.
    Tool,
}

impl Role {
    /// Whether it instructs.
    #[must_use]
    pub fn instructs(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// Turns of one side put together, for dialects that alternate between user and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round<'r> {
    /// [`Role::User`] (tools included), [`Role::Assistant`], or an instruction after the start.
    pub role: Role,
    /// The parts. In a user's round tool results come first, as every alternating dialect wants them.
    pub parts: Vec<&'r Part>,
    /// The first turn's place.
    pub at: &'r Place,
}

impl Request {
    /// The instructions at the start, and the conversation behind them.
    #[must_use]
    pub fn split_instructions(&self) -> (&[Turn], &[Turn]) {
        let first = self.turns.iter().position(|turn| !turn.role.instructs()).unwrap_or(self.turns.len());
        self.turns.split_at(first)
    }

    /// The conversation behind the first instructions, in rounds: consecutive turns of the same
    /// side are one. Blank parts are left out, and so are rounds without parts.
    #[must_use]
    pub fn rounds(&self) -> Vec<Round<'_>> {
        let mut rounds: Vec<Round<'_>> = Vec::new();
        for turn in self.split_instructions().1 {
            let role = if turn.role == Role::Tool { Role::User } else { turn.role };
            let parts = turn.parts.iter().filter(|part| !part.is_blank());
            match rounds.last_mut() {
                Some(last) if last.role == role => last.parts.extend(parts),
                _ => rounds.push(Round { role, parts: parts.collect(), at: &turn.at }),
            }
        }
        for round in rounds.iter_mut().filter(|round| round.role == Role::User) {
            round.parts.sort_by_key(|part| !matches!(part.kind, PartKind::ToolResult(_)));
        }
        rounds.retain(|round| !round.parts.is_empty());
        rounds
    }

    /// The request in which turns of the model that follow each other are one, where one of them calls
    /// or thinks, or says nothing: clients of streams send such pieces back one by one, and dialects
    /// that write turn by turn want a call next to its thoughts and before its results.
    #[must_use]
    pub fn with_whole_steps(&self) -> Cow<'_, Self> {
        if !self.turns.windows(2).any(|pair| is_one_step(&pair[0], &pair[1])) {
            return Cow::Borrowed(self);
        }
        let mut whole = self.clone();
        let turns = std::mem::take(&mut whole.turns);
        for turn in turns {
            match whole.turns.last_mut().filter(|last| is_one_step(last, &turn)) {
                Some(last) => {
                    last.parts.retain(|part| !part.is_blank());
                    last.parts.extend(turn.parts.into_iter().filter(|part| !part.is_blank()));
                }
                None => whole.turns.push(turn),
            }
        }
        Cow::Owned(whole)
    }

    /// Gives every call an id and every result the id and name of its call, for dialects that
    /// need them: a result without an id answers the oldest call of its name (or of any, if it
    /// has none) that is not answered yet.
    pub fn link_results(&mut self, ids: &mut Ids) {
        let mut open: Vec<(String, String)> = Vec::new();
        let mut names: HashMap<String, String> = HashMap::new();
        for part in self.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
            match &mut part.kind {
                PartKind::ToolCall(call) => {
                    let id = call.id.get_or_insert_with(|| ids.next("call_")).clone();
                    names.insert(id.clone(), call.name.clone());
                    open.push((id, call.name.clone()));
                }
                PartKind::ToolResult(result) => link(result, &mut open, &names),
                _ => {}
            }
        }
    }

    /// The calls nobody answered: the place of each and its id. Dialects that insist on a result
    /// for each are told so, or given one.
    #[must_use]
    pub fn unanswered(&self) -> Vec<(&Place, &str)> {
        let parts = || self.turns.iter().flat_map(|turn| &turn.parts);
        let answered: std::collections::HashSet<&str> = parts()
            .filter_map(|part| match &part.kind {
                PartKind::ToolResult(result) => result.call_id.as_deref(),
                _ => None,
            })
            .collect();
        parts()
            .filter_map(|part| match &part.kind {
                PartKind::ToolCall(call) => Some((&part.at, call.id.as_deref()?)),
                _ => None,
            })
            .filter(|(_, id)| !answered.contains(id))
            .collect()
    }
}

/// Whether two turns of the model are pieces of one: neither has a name or members that could be lost.
fn is_one_step(first: &Turn, second: &Turn) -> bool {
    let plain = |turn: &Turn| turn.role == Role::Assistant && turn.name.is_none() && turn.extra.is_empty();
    let bound = |turn: &Turn| {
        let step = |part: &Part| matches!(part.kind, PartKind::ToolCall(_) | PartKind::Thinking(_));
        turn.parts.iter().all(Part::is_blank) || turn.parts.iter().any(step)
    };
    plain(first) && plain(second) && (bound(first) || bound(second))
}

fn link(result: &mut ToolResult, open: &mut Vec<(String, String)>, names: &HashMap<String, String>) {
    let found = open.iter().position(|(id, name)| match (&result.call_id, &result.name) {
        (Some(wanted), _) => id == wanted,
        (None, Some(wanted)) => name == wanted,
        (None, None) => true,
    });
    if let Some(found) = found {
        let (id, name) = open.remove(found);
        result.call_id.get_or_insert(id);
        result.name.get_or_insert(name);
    } else if let Some(name) = result.call_id.as_ref().and_then(|id| names.get(id)) {
        result.name.get_or_insert_with(|| name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::ToolCall;
    use super::*;

    fn call(id: Option<&str>, name: &str) -> Part {
        let id = id.map(str::to_owned);
        let call = ToolCall { id, name: name.into(), ..ToolCall::default() };
        Part::new(PartKind::ToolCall(call))
    }

    fn result(id: Option<&str>, name: Option<&str>) -> Part {
        let (call_id, name) = (id.map(str::to_owned), name.map(str::to_owned));
        Part::new(PartKind::ToolResult(ToolResult { call_id, name, parts: Vec::new(), failed: None }))
    }

    fn results(request: &Request) -> Vec<(Option<&str>, Option<&str>)> {
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        parts
            .filter_map(|part| match &part.kind {
                PartKind::ToolResult(result) => Some((result.call_id.as_deref(), result.name.as_deref())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn results_find_their_calls() {
        let calls = vec![call(Some("a"), "f"), call(None, "g"), call(Some("c"), "g")];
        let answers = vec![result(None, Some("g")), result(Some("a"), None), result(None, None), result(None, None)];
        let mut request = Request {
            turns: vec![Turn::new(Role::Assistant, calls), Turn::new(Role::Tool, answers)],
            ..Request::default()
        };
        request.link_results(&mut Ids::new(7));
        let minted = Ids::new(7).next("call_");
        let expected =
            [(Some(minted.as_str()), Some("g")), (Some("a"), Some("f")), (Some("c"), Some("g")), (None, None)];
        assert_eq!(results(&request), expected);
        assert!(request.unanswered().is_empty());
    }

    #[test]
    fn a_second_result_of_a_call_has_its_name_too() {
        let parts = vec![call(Some("a"), "f"), result(Some("a"), None), result(Some("a"), None)];
        let mut request = Request { turns: vec![Turn::new(Role::User, parts)], ..Request::default() };
        request.link_results(&mut Ids::new(7));
        assert_eq!(results(&request), [(Some("a"), Some("f")); 2]);
    }

    #[test]
    fn calls_without_results_are_known() {
        let turns = vec![Turn::new(Role::Assistant, vec![call(Some("a"), "f"), call(Some("b"), "f")])];
        let mut request = Request { turns, ..Request::default() };
        request.turns.push(Turn::new(Role::Tool, vec![result(Some("b"), None)]));
        assert_eq!(request.unanswered().iter().map(|(_, id)| *id).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn pieces_of_a_step_are_one_turn() {
        let says = |parts| Turn::new(Role::Assistant, parts);
        let thought =
            || Part::new(PartKind::Thinking(super::super::Thinking { text: "hm".into(), ..Default::default() }));
        let turns = vec![
            says(vec![thought()]),
            says(vec![Part::text("so")]),
            says(vec![call(Some("1"), "f")]),
            says(vec![Part::text("")]),
            Turn::new(Role::Tool, vec![result(Some("1"), None)]),
            says(vec![Part::text("a")]),
            says(vec![Part::text("b")]),
        ];
        let request = Request { turns, ..Request::default() };
        let whole = request.with_whole_steps();
        assert_eq!(whole.turns.iter().map(|turn| turn.parts.len()).collect::<Vec<_>>(), [3, 1, 1, 1]);
        assert!(matches!(whole.with_whole_steps(), Cow::Borrowed(_)));
    }

    #[test]
    fn rounds_alternate_and_put_results_first() {
        let turns = vec![
            Turn::new(Role::System, vec![Part::text("be brief")]),
            Turn::new(Role::User, vec![Part::text("a")]),
            Turn::new(Role::User, vec![Part::text(""), Part::text("b")]),
            Turn::new(Role::Assistant, vec![call(Some("1"), "f")]),
            Turn::new(Role::User, vec![Part::text("and")]),
            Turn::new(Role::Tool, vec![result(Some("1"), None)]),
            Turn::new(Role::Assistant, vec![Part::text("")]),
        ];
        let request = Request { turns, ..Request::default() };
        assert_eq!(request.split_instructions().0.len(), 1);
        let rounds = request.rounds();
        assert_eq!(rounds.iter().map(|round| round.parts.len()).collect::<Vec<_>>(), [2, 1, 2]);
        assert!(matches!(rounds[2].parts[0].kind, PartKind::ToolResult(_)));
    }
}
