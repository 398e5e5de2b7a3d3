//! Members by either of their two names.

use crate::hub::Fields;

/// The members that are looked into, whose names have more than one word.
const NAMES: [(&str, &str); 36] = [
    ("systemInstruction", "system_instruction"),
    ("generationConfig", "generation_config"),
    ("toolConfig", "tool_config"),
    ("serviceTier", "service_tier"),
    ("functionCallingConfig", "function_calling_config"),
    ("allowedFunctionNames", "allowed_function_names"),
    ("functionDeclarations", "function_declarations"),
    ("parametersJsonSchema", "parameters_json_schema"),
    ("maxOutputTokens", "max_output_tokens"),
    ("topP", "top_p"),
    ("topK", "top_k"),
    ("frequencyPenalty", "frequency_penalty"),
    ("presencePenalty", "presence_penalty"),
    ("candidateCount", "candidate_count"),
    ("stopSequences", "stop_sequences"),
    ("responseLogprobs", "response_logprobs"),
    ("responseMimeType", "response_mime_type"),
    ("responseSchema", "response_schema"),
    ("responseJsonSchema", "response_json_schema"),
    ("responseModalities", "response_modalities"),
    ("speechConfig", "speech_config"),
    ("thinkingConfig", "thinking_config"),
    ("includeThoughts", "include_thoughts"),
    ("thinkingBudget", "thinking_budget"),
    ("thinkingLevel", "thinking_level"),
    ("inlineData", "inline_data"),
    ("fileData", "file_data"),
    ("functionCall", "function_call"),
    ("functionResponse", "function_response"),
    ("thoughtSignature", "thought_signature"),
    ("mimeType", "mime_type"),
    ("fileUri", "file_uri"),
    ("cachedContent", "cached_content"),
    ("generateContentRequest", "generate_content_request"),
    ("taskType", "task_type"),
    ("outputDimensionality", "output_dimensionality"),
];

/// The second name of a member; its only one if it has one word.
pub(super) fn snake(name: &'static str) -> &'static str {
    match name {
        "displayName" => "display_name",
        _ => NAMES.iter().find(|(camel, _)| *camel == name).map_or(name, |(_, snake)| snake),
    }
}

/// The name by which the member is there, and whether that is the second. With both, the first
/// counts and the second is left.
pub(super) fn name_of(fields: &Fields<'_>, name: &'static str) -> (&'static str, bool) {
    let second = fields.peek(name).is_none() && snake(name) != name && fields.peek(snake(name)).is_some();
    (if second { snake(name) } else { name }, second)
}

/// One of the two names.
pub(super) fn spelt(name: &'static str, second: bool) -> &'static str {
    if second { snake(name) } else { name }
}

/// Members of the parameters' objects, with a note of those that came by their second name.
#[derive(Debug, Default)]
pub(super) struct Aliases(pub(super) Vec<&'static str>);

impl Aliases {
    /// The name by which the member is there.
    pub(super) fn of(&mut self, fields: &Fields<'_>, name: &'static str) -> &'static str {
        let (found, second) = name_of(fields, name);
        if second {
            self.0.push(name);
        }
        found
    }
}
