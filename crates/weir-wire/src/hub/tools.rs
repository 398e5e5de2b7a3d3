//! Tools: what the model may call, must call, called, and got back.

use super::{CacheHint, Extra, Form, Json, Native, Part, Place};

/// A tool the model may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// What sort of tool.
    pub kind: ToolKind,
    /// The prompt up to and including this tool is worth caching.
    pub cache: Option<CacheHint>,
    /// How the dialect spelt it.
    pub form: Form,
    /// Where it stood in the caller's body.
    pub at: Place,
    /// Members only its own dialect understands.
    pub extra: Extra,
}

impl Tool {
    /// The name the model calls it by, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            ToolKind::Function(function) => Some(&function.name),
            ToolKind::Custom(custom) => Some(&custom.name),
            ToolKind::BuiltIn(_) => None,
        }
    }
}

/// What sort of tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// Called with a JSON object. Every dialect has these.
    Function(Function),
    /// Called with text, perhaps of a grammar (OpenAI).
    Custom(Custom),
    /// Run by the provider itself: web search, code execution, computer use. As it was written.
    BuiltIn(BuiltIn),
}

/// A tool called with a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON schema of its arguments. `None` takes no arguments.
    pub parameters: Option<Json>,
    /// Whether the arguments must fit the schema.
    pub strict: Option<bool>,
    /// Members beside these that only its own dialect understands.
    pub extra: Extra,
}

/// A tool called with text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The form of its input.
    pub format: Option<CustomFormat>,
    /// Members beside these that only its own dialect understands.
    pub extra: Extra,
}

/// The form of a custom tool's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomFormat {
    /// Any text.
    Text,
    /// Text of a grammar.
    Grammar {
        /// `lark` or `regex`.
        syntax: String,
        /// The grammar.
        definition: String,
    },
    /// What only one dialect can say.
    Opaque(Native),
}

/// A tool the provider runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its `type`, or the member that names it, for messages.
    pub name: String,
    /// As it was written.
    pub native: Native,
}

/// Whether and what the model must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// Nothing.
    None,
    /// At least one tool, whichever (OpenAI `required`, Anthropic `any`, Gemini `ANY`).
    Required,
    /// This one. `custom` for a [`Custom`] tool.
    Named {
        /// The tool's name.
        name: String,
        /// Whether it is a custom tool.
        custom: bool,
    },
    /// One of these, or at least one if `required` (OpenAI `allowed_tools`, Gemini
    /// `allowedFunctionNames`).
    Allowed {
        /// The tools' names, as far as they have any.
        names: Vec<String>,
        /// Whether one must be called.
        required: bool,
        /// As it was written, if tools without names are among them.
        native: Option<Native>,
    },
    /// What only one dialect can say.
    Opaque(Native),
}

/// How a tool is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// With a JSON object.
    #[default]
    Function,
    /// With text.
    Custom,
}

/// The model wants a tool run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Its id, by which the result refers to it. Dialects and providers exist that give none;
    /// where a dialect needs one, see [`super::Ids`].
    pub id: Option<String>,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: for [`CallKind::Function`] the text of a JSON
    /// object, though models err, and empty where a tool takes none; for [`CallKind::Custom`] any text.
    pub arguments: String,
    /// How it is called.
    pub kind: CallKind,
    /// Members beside these that only its own dialect understands.
    pub extra: Extra,
}

impl ToolCall {
    /// The arguments as a JSON object, for dialects that have them as one: `{}` when empty. `None`
    /// if they are no object: the model's fault, which a codec reports and wraps.
    #[must_use]
    pub fn object(&self) -> Option<Json> {
        if self.arguments.trim().is_empty() {
            return Some(Json::checked("{}"));
        }
        Json::parse(&self.arguments).ok().filter(|json| json.kind() == crate::json::Kind::Object)
    }
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The call it answers. Missing where the dialect has no ids (Gemini, OpenAI's old functions).
    pub call_id: Option<String>,
    /// The tool's name, where the dialect says it. [`super::Request::link_results`] fills it in.
    pub name: Option<String>,
    /// What it gave back: text, images, documents.
    pub parts: Vec<Part>,
    /// Whether the tool failed, where the dialect says (Anthropic, Bedrock).
    pub failed: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(arguments: &str) -> Option<String> {
        let call = ToolCall { name: "f".into(), arguments: arguments.into(), ..ToolCall::default() };
        call.object().map(|json| json.as_str().to_owned())
    }

    #[test]
    fn arguments_are_an_object_or_none() {
        assert_eq!(object("").as_deref(), Some("{}"));
        assert_eq!(object(" \n").as_deref(), Some("{}"));
        assert_eq!(object("{\"a\":1}").as_deref(), Some("{\"a\":1}"));
        assert_eq!(object("{\"a\":"), None);
        assert_eq!(object("[1]"), None);
    }
}
