//! Lossless or loud: what a target could not be told, and why.

use std::fmt;

use super::{Dialect, Extra, Part, Place};

/// The most losses listed. A request with more says so in the last.
pub const MAX_LOSSES: usize = 64;

/// One thing that the target was not told as the caller said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The place in the caller's body: `messages[2].content[0]`, `generationConfig.seed`.
    pub field: String,
    /// What became of it.
    pub what: LossKind,
    /// Why, in a few words that name the remedy where there is one.
    pub why: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.field, self.what.word(), self.why)
    }
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// It was left out.
    Dropped,
    /// It was changed to the nearest the target takes: a temperature clamped, an effort rounded.
    Coerced,
    /// It was said in another way that means about the same: JSON mode by instruction.
    Approximated,
}

impl LossKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Coerced => "coerced",
            Self::Approximated => "approximated",
        }
    }
}

/// What the target cannot be told at all: leaving it out would change what was asked. What the
/// user said and what a tool gave back is refused, how the answer is to be made is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The place in the caller's body.
    pub field: String,
    /// Why the target cannot be told, and what would help.
    pub why: String,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

impl std::error::Error for EncodeError {}

/// The bytes of an encoding, and what they do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The body.
    pub body: String,
    /// What was lost, in order of discovery.
    pub losses: Vec<Loss>,
}

/// Gathers losses while an encoder writes, and the first thing that cannot be said at all. So
/// writing itself never fails, and [`Losses::seal`] decides at the end.
#[derive(Debug)]
pub struct Losses {
    caller: Dialect,
    target: Dialect,
    list: Vec<Loss>,
    beyond: usize,
    refused: Option<EncodeError>,
}

impl Losses {
    /// For a body of `caller`'s dialect written in `target`'s.
    #[must_use]
    pub fn new(caller: Dialect, target: Dialect) -> Self {
        Self { caller, target, list: Vec::new(), beyond: 0, refused: None }
    }

    /// The dialect of the caller, in whose words places are named.
    #[must_use]
    pub fn caller(&self) -> Dialect {
        self.caller
    }

    /// A loss at a place.
    pub fn add(&mut self, at: &str, what: LossKind, why: impl Into<String>) {
        if self.list.len() < MAX_LOSSES {
            self.list.push(Loss { field: at.to_owned(), what, why: why.into() });
        } else {
            self.beyond += 1;
        }
    }

    /// A loss of a parameter.
    pub fn param(&mut self, field: Field, what: LossKind, why: impl Into<String>) {
        self.add(field.name(self.caller), what, why);
    }

    /// A parameter left out, if it was given.
    pub fn drop_param<T>(&mut self, field: Field, value: Option<&T>) {
        if value.is_some() {
            self.param(field, LossKind::Dropped, format!("{} has no such parameter", self.target.name()));
        }
    }

    /// A part left out.
    pub fn drop_part(&mut self, part: &Part, why: impl Into<String>) {
        self.add(part.at.as_str(), LossKind::Dropped, format!("{}: {}", part.kind.name(), why.into()));
    }

    /// What cannot be said at all.
    pub fn refuse(&mut self, at: &str, why: impl Into<String>) {
        self.refused.get_or_insert_with(|| EncodeError { field: at.to_owned(), why: why.into() });
    }

    /// A part that cannot be said at all.
    pub fn refuse_part(&mut self, part: &Part, why: &str) {
        self.refuse(part.at.as_str(), format!("{} {why}", part.kind.name()));
    }

    /// Members of another dialect than the target's: each that says something is dropped.
    pub fn extra(&mut self, extra: &Extra, at: &Place) {
        if extra.dialect() == Some(self.target) {
            return;
        }
        for (name, _) in extra.loud().iter().filter(|(_, value)| !value.is_empty()) {
            let why = format!("unknown to {}", self.target.name());
            self.add(at.member(name).as_str(), LossKind::Dropped, why);
        }
    }

    /// The encoding of an answer, where what cannot be said is a loss: the caller's question has
    /// been answered and paid.
    #[must_use]
    pub fn seal_answer(mut self, body: String) -> Encoded {
        if let Some(EncodeError { field, why }) = self.refused.take() {
            self.add(&field, LossKind::Dropped, why);
        }
        Encoded { body, losses: self.bounded() }
    }

    /// The encoding, or why there is none.
    pub fn seal(mut self, body: String) -> Result<Encoded, EncodeError> {
        match self.refused.take() {
            Some(refused) => Err(refused),
            None => Ok(Encoded { body, losses: self.bounded() }),
        }
    }

    fn bounded(mut self) -> Vec<Loss> {
        if self.beyond > 0 {
            let why = format!("and {} more losses", self.beyond);
            self.list.push(Loss { field: "*".to_owned(), what: LossKind::Dropped, why });
        }
        self.list
    }
}

macro_rules! fields {
    ($($variant:ident: $chat:literal, $responses:literal, $anthropic:literal, $gemini:literal;)*) => {
        /// A parameter, for naming it in the caller's words. Where a dialect has no word for it,
        /// OpenAI's chat word stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the parameter of its name in Params and Request")]
        pub enum Field { $($variant,)* }

        impl Field {
            /// The parameter's place in a body of this dialect.
            #[must_use]
            pub fn name(self, dialect: Dialect) -> &'static str {
                let (chat, responses, anthropic, gemini) = match self {
                    $(Self::$variant => ($chat, $responses, $anthropic, $gemini),)*
                };
                let own = match dialect {
                    Dialect::OpenAiResponses => responses,
                    Dialect::Anthropic => anthropic,
                    Dialect::Gemini => gemini,
                    Dialect::OpenAiChat | Dialect::Bedrock | Dialect::Cohere | Dialect::Ollama => chat,
                };
                if own.is_empty() { chat } else { own }
            }
        }
    };
}

fields! {
    MaxOutput: "max_completion_tokens", "max_output_tokens", "max_tokens", "generationConfig.maxOutputTokens";
    Temperature: "temperature", "", "", "generationConfig.temperature";
    TopP: "top_p", "", "", "generationConfig.topP";
    TopK: "top_k", "", "", "generationConfig.topK";
    FrequencyPenalty: "frequency_penalty", "", "", "generationConfig.frequencyPenalty";
    PresencePenalty: "presence_penalty", "", "", "generationConfig.presencePenalty";
    Seed: "seed", "", "", "generationConfig.seed";
    N: "n", "", "", "generationConfig.candidateCount";
    Stop: "stop", "", "stop_sequences", "generationConfig.stopSequences";
    Logprobs: "logprobs", "include", "", "generationConfig.responseLogprobs";
    TopLogprobs: "top_logprobs", "", "", "generationConfig.logprobs";
    LogitBias: "logit_bias", "", "", "";
    Reasoning: "reasoning_effort", "reasoning", "thinking", "generationConfig.thinkingConfig";
    Format: "response_format", "text.format", "output_config.format", "generationConfig.responseJsonSchema";
    Verbosity: "verbosity", "text.verbosity", "", "";
    Tier: "service_tier", "", "", "serviceTier";
    Metadata: "metadata", "", "", "labels";
    User: "user", "", "metadata.user_id", "";
    SafetyIdentifier: "safety_identifier", "", "", "";
    CacheKey: "prompt_cache_key", "", "", "";
    Modalities: "modalities", "", "", "generationConfig.responseModalities";
    Audio: "audio", "", "", "generationConfig.speechConfig";
    Prediction: "prediction", "", "", "";
    WebSearch: "web_search_options", "", "", "";
    Store: "store", "", "", "";
    StreamObfuscation: "stream_options.include_obfuscation", "", "", "";
    Tools: "tools", "", "", "";
    ToolChoice: "tool_choice", "", "", "toolConfig.functionCallingConfig";
    ParallelTools: "parallel_tool_calls", "", "tool_choice.disable_parallel_tool_use", "";
}

#[cfg(test)]
mod tests {
    use super::super::Json;
    use super::*;

    #[test]
    fn losses_are_named_in_the_caller_s_words() {
        let mut losses = Losses::new(Dialect::Gemini, Dialect::Anthropic);
        losses.drop_param(Field::Seed, Some(&1));
        losses.drop_param(Field::TopK, None::<&u8>);
        losses.param(Field::Verbosity, LossKind::Coerced, "x");
        let sealed = losses.seal("{}".into()).unwrap();
        let told: Vec<_> = sealed.losses.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["generationConfig.seed dropped: Anthropic Messages has no such parameter", "verbosity coerced: x"]
        );
    }

    #[test]
    fn members_of_another_dialect_are_lost_unless_they_say_nothing() {
        let members = vec![("a".to_owned(), Json::string("x")), ("b".to_owned(), Json::string(""))];
        let extra = Extra::new(Dialect::OpenAiChat, members);
        let count = |target| {
            let mut losses = Losses::new(Dialect::OpenAiChat, target);
            losses.extra(&extra, &Place::root().member("messages").index(1));
            losses.seal(String::new()).unwrap().losses
        };
        assert_eq!(count(Dialect::OpenAiChat), []);
        let lost = count(Dialect::Cohere);
        assert_eq!((lost.len(), lost[0].field.as_str()), (1, "messages[1].a"));
    }

    #[test]
    fn quiet_members_are_no_loss() {
        let at = Dialect::OpenAiResponses;
        let member = |name: &str| (name.to_owned(), Json::string("x"));
        let mut extra = Extra::new(at, vec![member("a"), member("id")]).quieten(|name| name == "id");
        extra.update(Extra::new(at, vec![member("b"), member("status")]).quieten(|name| name == "status"));
        let names = |members: &[(String, Json)]| members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(extra.members()), ["id", "status", "a", "b"]);
        let mut losses = Losses::new(at, Dialect::Gemini);
        losses.extra(&extra, &Place::root());
        let told = losses.seal(String::new()).unwrap().losses;
        assert_eq!(told.iter().map(|loss| loss.field.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(extra.remove(at, "id").is_some() && extra.remove(Dialect::Gemini, "a").is_none());
        assert_eq!(names(extra.loud()), ["a", "b"]);
        for name in ["status", "a", "b"] {
            assert!(extra.remove(at, name).is_some());
        }
        assert_eq!(extra, Extra::default());
    }

    #[test]
    fn the_first_refusal_counts_and_lists_are_bounded() {
        let mut losses = Losses::new(Dialect::OpenAiChat, Dialect::Cohere);
        for _ in 0..MAX_LOSSES + 5 {
            losses.add("a", LossKind::Dropped, "b");
        }
        losses.refuse("x", "first");
        losses.refuse("y", "second");
        assert_eq!(losses.seal(String::new()).unwrap_err().to_string(), "x: first");
        let mut losses = Losses::new(Dialect::OpenAiChat, Dialect::Cohere);
        (0..MAX_LOSSES + 5).for_each(|_| losses.add("a", LossKind::Dropped, "b"));
        let sealed = losses.seal(String::new()).unwrap();
        assert_eq!(sealed.losses.last().unwrap().why, "and 5 more losses");
    }
}
