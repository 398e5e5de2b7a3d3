//! Which tools the demo calls, and with what.

use serde_json::{Value, json};

use super::{schema, text};

/// The most calls of a turn.
const MAX_CALLS: usize = 16;

/// The calls of a turn: the tools that the user names, else the first; the one that is forced; none
/// where that is asked for, or where tools have answered already (a demo that went on calling would
/// never end).
///
/// # Errors
/// When a tool is forced that is not given.
pub(super) fn calls(request: &Value, messages: &[Value]) -> Result<Vec<Value>, String> {
    let choice = &request["tool_choice"];
    if choice == "none" || !text::results(messages).is_empty() {
        return Ok(Vec::new());
    }
    let given: Vec<&Value> =
        request["tools"].as_array().into_iter().flatten().filter(|tool| name(tool).is_some()).collect();
    let tools = match name(choice) {
        Some(forced) => vec![*given.iter().find(|tool| name(tool) == Some(forced)).ok_or_else(|| missing(forced))?],
        None => chosen(allowed(&given, choice), request, &text::asked(messages)),
    };
    let before = messages.iter().filter_map(|message| message["tool_calls"].as_array()).map(Vec::len).sum::<usize>();
    Ok(tools.into_iter().enumerate().map(|(i, tool)| call(tool, before + i + 1)).collect())
}

fn missing(name: &str) -> String {
    format!("tool_choice names the tool '{name}', which is not among tools")
}

/// The name of a tool, a choice or an allowed tool: `{"type": "function", "function": {"name"}}`.
fn name(tool: &Value) -> Option<&str> {
    let kind = tool["type"].as_str().filter(|kind| matches!(*kind, "function" | "custom"))?;
    tool[kind]["name"].as_str()
}

/// Those that the choice allows.
fn allowed<'t>(given: &[&'t Value], choice: &Value) -> Vec<&'t Value> {
    let Some(list) = choice["allowed_tools"]["tools"].as_array() else { return given.to_vec() };
    given.iter().copied().filter(|tool| list.iter().any(|one| name(one) == name(tool))).collect()
}

/// Those that the user names, else the first. Only one where several are not wanted.
fn chosen<'t>(tools: Vec<&'t Value>, request: &Value, asked: &str) -> Vec<&'t Value> {
    let named = tools.iter().copied().filter(|tool| name(tool).is_some_and(|name| mentions(asked, name)));
    let most = if request["parallel_tool_calls"] == false { 1 } else { MAX_CALLS };
    let named: Vec<&Value> = named.take(most).collect();
    if named.is_empty() { tools.into_iter().take(1).collect() } else { named }
}

/// Whether a text names a tool, as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !name.is_empty() && text.split(|c: char| !in_word(c)).any(|word| word.trim_matches('-') == name || word == name)
}

fn call(tool: &Value, number: usize) -> Value {
    let id = format!("call_demo_{number}");
    if tool["type"] == "custom" {
        return json!({"id": id, "type": "custom", "custom": {"name": name(tool), "input": "demo"}});
    }
    let parameters = &tool["function"]["parameters"];
    let arguments = if parameters.is_object() { schema::instance(parameters) } else { json!({}) };
    let arguments = if arguments.is_object() { arguments } else { json!({}) };
    json!({"id": id, "type": "function", "function": {"name": name(tool), "arguments": arguments.to_string()}})
}

/// What a call's tool is told: a function's arguments or a custom tool's input.
pub(super) fn told(call: &Value) -> &str {
    call["function"]["arguments"].as_str().or_else(|| call["custom"]["input"].as_str()).unwrap_or_default()
}

/// What a stream adds to a message for a call: first its name, then what it is told, in pieces.
pub(super) fn deltas(index: usize, call: &Value) -> Vec<Value> {
    let (kind, member) = if call["type"] == "custom" { ("custom", "input") } else { ("function", "arguments") };
    let first = json!({"tool_calls": [{"index": index, "id": call["id"], "type": kind, kind: {"name": call[kind]["name"], member: ""}}]});
    let told: Vec<char> = told(call).chars().collect();
    let piece =
        |piece: &[char]| json!({"tool_calls": [{"index": index, kind: {member: piece.iter().collect::<String>()}}]});
    std::iter::once(first).chain(told.chunks(8).map(piece)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(mut request: Value, said: &str) -> Result<Vec<String>, String> {
        if request.get("tools").is_none() {
            request["tools"] = ["get", "set", "get-all"]
                .map(|name| json!({"type": "function", "function": {"name": name}}))
                .into_iter()
                .collect();
        }
        let calls = calls(&request, &[json!({"role": "user", "content": said})])?;
        Ok(calls.iter().map(|call| name(call).unwrap().to_owned()).collect())
    }

    #[test]
    fn what_the_user_names_is_called() {
        let check = |request: Value, said: &str, expected: &[&str]| {
            assert_eq!(called(request.clone(), said).unwrap(), expected, "{request} {said}");
        };
        check(json!({}), "hello", &["get"]);
        check(json!({}), "call set", &["set"]);
        check(json!({}), "please set and get.", &["get", "set"]);
        check(json!({}), "forget the settings", &["get"]);
        check(json!({}), "get-all", &["get-all"]);
        check(json!({"parallel_tool_calls": false}), "set, get", &["get"]);
        check(json!({"tool_choice": "none"}), "set", &[]);
        check(json!({"tool_choice": "required"}), "hello", &["get"]);
        let set = json!({"type": "function", "function": {"name": "set"}});
        check(json!({"tool_choice": set}), "get", &["set"]);
        check(
            json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [set]}}}),
            "get",
            &["set"],
        );
        check(json!({"tools": []}), "hello", &[]);
        check(json!({"tools": [{"type": "web_search"}, 7]}), "hello", &[]);
        let other = json!({"type": "function", "function": {"name": "fly"}});
        assert!(called(json!({"tool_choice": other}), "x").unwrap_err().contains("'fly'"));
    }

    #[test]
    fn custom_tools_are_told_a_text_and_calls_are_numbered_on() {
        let request = json!({"tools": [{"type": "custom", "custom": {"name": "patch"}}]});
        let before = json!({"role": "assistant", "tool_calls": [{"id": "call_demo_1"}, {"id": "call_demo_2"}]});
        let messages = [before, json!({"role": "assistant", "content": "x"}), json!({"role": "user", "content": "go"})];
        let calls = calls(&request, &messages).unwrap();
        assert_eq!(
            calls,
            [json!({"id": "call_demo_3", "type": "custom", "custom": {"name": "patch", "input": "demo"}})]
        );
        let deltas = deltas(0, &calls[0]);
        assert_eq!(deltas[1]["tool_calls"][0]["custom"]["input"], "demo");
    }
}
