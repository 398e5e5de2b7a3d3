//! The searches that a body lets the provider run by itself.

use super::Peek;
use crate::json::{JsonError, Kind, Reader, Span};

/// How often the provider may search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searches {
    /// At most so often; none where the body does not say.
    pub most: Option<u64>,
}

/// What the type of a tool that searches holds: `web_search_20250305`, `web_search_preview`,
/// `browser_search`, ... Kimi's `builtin_function` is a search too.
const TYPES: [&str; 5] = ["web_search", "browser_search", "x_search", "google_search", "builtin_function"];
/// Gemini's tools are members: these search.
const MEMBERS: [&str; 7] = [
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "google_search_retrieval",
    "enterpriseWebSearch",
    "enterprise_web_search",
    "$web_search",
];
/// Members of a body beside its tools that let the model search: OpenAI's and Perplexity's chat, xAI's.
const OPTIONS: [&str; 2] = ["web_search_options", "search_parameters"];

/// See [`Peek::searches`].
pub(super) fn searches(peek: &Peek, body: &[u8]) -> Option<Searches> {
    let mut found: Option<Searches> = None;
    let mut add = |one: Searches| {
        let most = found.map_or(Some(0), |before| before.most);
        found = Some(Searches { most: most.zip(one.most).map(|(a, b)| a.saturating_add(b)) });
    };
    for tools in peek.values(body, "tools") {
        tools_of(tools.of(body), &mut add);
    }
    for name in OPTIONS {
        if peek.values(body, name).any(|value| value.of(body).starts_with(b"{")) {
            add(Searches { most: None });
        }
    }
    // The Responses API bounds all calls of built-in tools together.
    let all = peek.values(body, "max_tool_calls").find_map(|value| number(value.of(body)));
    found.map(|found| Searches { most: found.most.into_iter().chain(all).min() })
}

fn tools_of(tools: &[u8], add: &mut impl FnMut(Searches)) {
    let Ok(mut reader) = Reader::new(tools) else { return };
    if !matches!(reader.kind(), Ok(Kind::Array)) {
        return;
    }
    // The body was found to be JSON before.
    let _: Result<Span, JsonError> = reader.array(|reader| {
        if let Some(one) = tool(reader)? {
            add(one);
        }
        Ok(())
    });
}

/// A tool, if it searches.
fn tool(reader: &mut Reader<'_>) -> Result<Option<Searches>, JsonError> {
    if reader.kind()? != Kind::Object {
        return reader.skip().map(|_| None);
    }
    let (mut searches, mut most) = (false, None);
    reader.object(|reader, key| {
        let name = &*key.name;
        if name == "type" && reader.kind()? == Kind::String {
            let kind = reader.string()?.to_ascii_lowercase();
            searches |= TYPES.iter().any(|word| kind.contains(word));
            return Ok(());
        }
        let value = reader.skip()?;
        if name == "max_uses" {
            most = number(reader.raw(value.span).as_bytes());
        }
        searches |= MEMBERS.contains(&name);
        Ok(())
    })?;
    Ok(searches.then_some(Searches { most }))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::request::{Peek, Shape};

    /// `None`: no searches; `Some(None)`: nobody says how many.
    fn found(shape: Shape, members: &str) -> Option<Option<u64>> {
        let body = format!(r#"{{"model":"m","messages":[],"contents":[],{members}}}"#);
        let peek = Peek::read(body.as_bytes(), shape).unwrap();
        peek.searches(body.as_bytes()).map(|searches| searches.most)
    }

    #[test]
    fn what_searches_is_found_in_every_dialect() {
        let messages = |members| found(Shape::Messages, members);
        assert_eq!(
            messages(r#""tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3}]"#),
            Some(Some(3))
        );
        assert_eq!(messages(r#""tools":[{"max_uses":2,"type":"web_search_20260209"},{"name":"f"}]"#), Some(Some(2)));
        assert_eq!(messages(r#""tools":[{"type":"web_search_20250305"}]"#), Some(None));
        assert_eq!(messages(r#""tools":[{"type":"web_search_20250305","max_uses":null}]"#), Some(None));
        let responses = |members| found(Shape::Responses, members);
        assert_eq!(responses(r#""tools":[{"type":"web_search_preview"}],"max_tool_calls":4"#), Some(Some(4)));
        assert_eq!(responses(r#""tools":[{"type":"web_search"}]"#), Some(None));
        assert_eq!(found(Shape::Chat, r#""web_search_options":{}"#), Some(None));
        assert_eq!(found(Shape::Gemini, r#""tools":[{"googleSearch":{}}]"#), Some(None));
        assert_eq!(found(Shape::Chat, r#""tools":[{"type":"browser_search"}]"#), Some(None));
    }

    #[test]
    fn several_tools_may_each_search() {
        let two = r#""tools":[{"type":"web_search","max_uses":3},{"type":"x_search","max_uses":18446744073709551615}]"#;
        assert_eq!(found(Shape::Messages, two), Some(Some(u64::MAX)));
        let one_unbounded = r#""tools":[{"type":"web_search","max_uses":3},{"type":"x_search"}]"#;
        assert_eq!(found(Shape::Messages, one_unbounded), Some(None));
    }

    #[test]
    fn the_caller_s_own_tools_search_nothing() {
        let own = r#""tools":[{"type":"function","function":{"name":"web_search","parameters":{"googleSearch":1}}}]"#;
        assert_eq!(found(Shape::Chat, own), None);
        for members in
            [r#""tools":null"#, r#""tools":[1,"web_search"]"#, r#""web_search_options":null"#, r#""max_tool_calls":2"#]
        {
            assert_eq!(found(Shape::Chat, members), None, "{members}");
        }
        assert_eq!(found(Shape::Messages, r#""tools":[{"name":"web_search","input_schema":{}}]"#), None);
    }
}
