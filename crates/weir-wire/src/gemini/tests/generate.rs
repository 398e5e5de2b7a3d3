//! Requests and answers of this dialect, by chance.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Text with what needs escaping, never empty.
pub(super) fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z \"\\\\\n\u{1}🦀é/<]{1,12}"
}

/// Base64 in all spellings, and what is none.
const OCTETS: [&str; 7] = ["AAAA", "+/8=", "-_8=", "-_8", "+/8", "_w", "no bytes"];

fn text() -> BoxedStrategy<Value> {
    word().prop_map(Value::from).boxed()
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_]{1,8}"
}

/// An object of these members, each there or not.
fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
    let values: Vec<_> = values.into_iter().map(option::of).collect();
    let there = move |values: Vec<Option<Value>>| {
        let there = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(there.collect())
    };
    values.prop_map(there).boxed()
}

/// Members put together; the later ones win.
fn merged(first: BoxedStrategy<Value>, second: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let merge = |(mut first, second): (Value, Value)| {
        if let (Value::Object(first), Value::Object(second)) = (&mut first, second) {
            first.extend(second);
        }
        first
    };
    (first, second).prop_map(merge).boxed()
}

fn one_of(values: Vec<Value>) -> BoxedStrategy<Value> {
    select(values).boxed()
}

/// Members nobody knows, nulls among them.
fn unknown() -> BoxedStrategy<Value> {
    let value =
        one_of(vec![Value::Null, "x".into(), 7.into(), json!({"x": [1, null]}), json!([]), json!({}), "".into()]);
    proptest::collection::btree_map("x_[a-z]{1,4}", value, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
        .boxed()
}

/// Some keys in snake_case.
fn spelt(tree: Value, choose: &mut impl FnMut() -> bool) -> Value {
    match tree {
        Value::Object(members) => {
            let spell = |(name, value): (String, Value)| {
                let keep = matches!(name.as_str(), "args" | "response" | "parameters" | "responseSchema" | "labels");
                let value = if keep { value } else { spelt(value, choose) };
                let second = choose();
                (if second && !name.starts_with('x') { snake(&name) } else { name }, value)
            };
            Value::Object(members.into_iter().map(spell).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| spelt(item, choose)).collect()),
        other => other,
    }
}

fn snake(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter.is_ascii_uppercase() {
        true => format!("_{}", letter.to_ascii_lowercase()),
        false => letter.to_string(),
    });
    letters.collect()
}

fn args() -> BoxedStrategy<Value> {
    one_of(vec![json!({}), json!({"a": 1}), json!({"a": {"b": [null, "c\n"]}})])
}

fn call() -> BoxedStrategy<Value> {
    let call =
        merged(object(vec![("id", text()), ("args", args())]), name().prop_map(|name| json!({"name": name})).boxed());
    call.prop_map(|call| json!({"functionCall": call})).boxed()
}

fn media() -> BoxedStrategy<Value> {
    let mime =
        one_of(["image/png", "audio/wav", "video/mp4", "application/pdf", "text/plain"].map(Value::from).to_vec());
    let inline = object(vec![("mimeType", mime.clone()), ("displayName", text())]);
    let data = one_of(OCTETS.map(|data| json!({"data": data})).to_vec());
    let inline = merged(inline, data).prop_map(|data| json!({"inlineData": data}));
    let uri = one_of(
        ["https://x.test/a.png", "gs://b/a", "https://x.test/v1beta/files/a"]
            .map(|uri| json!({"fileUri": uri}))
            .to_vec(),
    );
    let file = merged(object(vec![("mimeType", mime)]), uri).prop_map(|data| json!({"fileData": data}));
    prop_oneof![inline, file].boxed()
}

fn result() -> BoxedStrategy<Value> {
    let response = one_of(vec![
        json!({}),
        json!({"output": "x"}),
        json!({"output": ["x", "y"]}),
        json!({"output": ["x"]}),
        json!({"error": "bad"}),
        json!({"result": "x"}),
        json!({"result": 7}),
        json!({"output": "x", "more": null}),
    ]);
    let result = object(vec![
        ("id", text()),
        ("name", text()),
        ("response", response),
        ("parts", vec(media(), 0..3).prop_map(Value::from).boxed()),
        ("scheduling", Just("SILENT".into()).boxed()),
    ]);
    result.prop_map(|result| json!({"functionResponse": result})).boxed()
}

fn text_part() -> BoxedStrategy<Value> {
    let thought = one_of(vec![json!({}), json!({"thought": true}), json!({"thought": false})]);
    merged(prop_oneof![text(), Just("".into())].prop_map(|text| json!({"text": text})).boxed(), thought)
}

fn opaque() -> BoxedStrategy<Value> {
    one_of(vec![
        json!({"executableCode": {"code": "1+1", "language": "PYTHON"}}),
        json!({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}),
        json!({"of_tomorrow": {"a": 1}}),
        json!({}),
        json!({"thoughtSignature": "AAAA"}),
    ])
}

fn seal() -> BoxedStrategy<Value> {
    let octets = OCTETS.map(|octets| json!({"thoughtSignature": octets}));
    one_of([json!({}), json!({}), json!({"videoMetadata": {"fps": 1.5}})].into_iter().chain(octets).collect())
}

fn part() -> BoxedStrategy<Value> {
    let part = prop_oneof![4 => text_part(), 2 => call(), 2 => result(), 2 => media(), 1 => opaque()].boxed();
    merged(part, seal())
}

fn content() -> BoxedStrategy<Value> {
    let role = one_of(["user", "model", "function", "tool", "system"].map(Value::from).to_vec());
    let parts = prop_oneof![5 => vec(part(), 0..4).prop_map(Value::from), 1 => part()].boxed();
    merged(object(vec![("role", role), ("parts", parts)]), unknown())
}

fn schema() -> BoxedStrategy<Value> {
    one_of(vec![
        json!({"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": true}}, "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"type": "number", "minimum": 1.50}}}),
        json!({"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}, {"type": "string"}]}}),
        json!({"type": "STRING", "nullable": false, "enum": ["a"]}),
    ])
}

fn declaration() -> BoxedStrategy<Value> {
    let members = object(vec![
        ("description", text()),
        ("parameters", schema()),
        ("parametersJsonSchema", Just(json!({"type": "object", "$defs": {}})).boxed()),
        ("behavior", Just("BLOCKING".into()).boxed()),
    ]);
    merged(merged(members, unknown()), name().prop_map(|name| json!({"name": name})).boxed())
}

fn tool() -> BoxedStrategy<Value> {
    object(vec![
        ("functionDeclarations", vec(declaration(), 1..3).prop_map(Value::from).boxed()),
        ("googleSearch", one_of(vec![json!({}), Value::Null])),
        ("codeExecution", Just(json!({})).boxed()),
    ])
}

fn tool_config() -> BoxedStrategy<Value> {
    let mode = one_of(["AUTO", "ANY", "NONE", "VALIDATED", "any", "MODE_UNSPECIFIED"].map(Value::from).to_vec());
    let calling = object(vec![
        ("mode", mode),
        ("allowedFunctionNames", vec(text(), 0..3).prop_map(Value::from).boxed()),
        ("streamFunctionCallArguments", Just(true.into()).boxed()),
    ]);
    object(vec![("functionCallingConfig", calling), ("retrievalConfig", Just(json!({"languageCode": "de"})).boxed())])
}

fn config() -> BoxedStrategy<Value> {
    let count = || (0..4096u64).prop_map(Value::from).boxed();
    let number = || (0..200u64).prop_map(|n| Value::from(n as f64 / 100.0)).boxed();
    let thinking = one_of(vec![
        json!({}),
        json!({"includeThoughts": true, "thinkingBudget": -1}),
        json!({"thinkingBudget": 0}),
        json!({"thinkingLevel": "LOW", "of_tomorrow": 1}),
    ]);
    let mime = one_of(["application/json", "text/plain", "text/x.enum"].map(Value::from).to_vec());
    let sampling = object(vec![
        ("temperature", prop_oneof![number(), Just(Value::Null)].boxed()),
        ("topP", number()),
        ("topK", count()),
        ("candidateCount", count()),
        ("maxOutputTokens", count()),
        ("stopSequences", vec(text(), 0..3).prop_map(Value::from).boxed()),
        ("presencePenalty", number()),
        ("frequencyPenalty", number()),
        ("seed", count()),
        ("responseLogprobs", any::<bool>().prop_map(Value::from).boxed()),
        ("logprobs", count()),
    ]);
    let form = object(vec![
        ("responseMimeType", mime),
        ("responseSchema", schema()),
        ("responseJsonSchema", Just(json!({"type": "object"})).boxed()),
        ("responseModalities", one_of(vec![json!(["TEXT", "IMAGE"]), json!([]), json!(["Text"])])),
        ("speechConfig", Just(json!({"voiceConfig": {"a": 1}})).boxed()),
        ("thinkingConfig", thinking),
        ("mediaResolution", Just("MEDIA_RESOLUTION_LOW".into()).boxed()),
    ]);
    merged(merged(sampling, form), unknown())
}

/// A request body.
pub(super) fn request() -> BoxedStrategy<Value> {
    let contents = prop_oneof![6 => vec(content(), 0..5).prop_map(Value::from), 1 => content()];
    let contents = contents.prop_map(|contents| json!({"contents": contents})).boxed();
    let members = object(vec![
        ("systemInstruction", content()),
        ("tools", vec(tool(), 0..3).prop_map(Value::from).boxed()),
        ("toolConfig", tool_config()),
        ("generationConfig", config()),
        ("safetySettings", Just(json!([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}])).boxed()),
        ("serviceTier", one_of(["flex", "standard", "of_tomorrow"].map(Value::from).to_vec())),
        ("labels", one_of(vec![json!({"a": "b"}), json!({})])),
        ("cachedContent", text()),
        ("store", Just(false.into()).boxed()),
        ("model", text()),
    ]);
    let whole = merged(merged(members, unknown()), contents);
    (whole, any::<u64>())
        .prop_map(|(tree, seed)| {
            // One in four keys, and none in every other request.
            let mut state = seed;
            let mut choose = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed % 2 == 0 && state >> 62 == 0
            };
            spelt(tree, &mut choose)
        })
        .boxed()
}

fn usage() -> BoxedStrategy<Value> {
    let counts = (0..9999u64, 0..9999u64, 0..99u64);
    counts
        .prop_map(|(prompt, candidates, thoughts)| {
            json!({"promptTokenCount": prompt, "cachedContentTokenCount": prompt / 2, "candidatesTokenCount": candidates,
                "thoughtsTokenCount": thoughts, "totalTokenCount": prompt + candidates + thoughts,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}], "trafficType": "ON_DEMAND"})
        })
        .boxed()
}

fn logprobs() -> BoxedStrategy<Value> {
    one_of(vec![
        json!({"chosenCandidates": [{"token": "a", "tokenId": 1, "logProbability": -0.5}],
            "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.5}]}]}),
        json!({"chosenCandidates": [{"token": "a", "logProbability": -0.5}]}),
    ])
}

fn stop() -> BoxedStrategy<Value> {
    let words = ["STOP", "MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "OF_TOMORROW"].map(Value::from);
    one_of([words.to_vec(), vec![json!(1)]].concat())
}

fn candidates(content: BoxedStrategy<Value>, extra: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let members = (option::of(content), stop(), extra, any::<bool>());
    let candidate = members.prop_map(|(content, stop, extra, numbered)| {
        let mut candidate = extra;
        candidate["finishReason"] = stop;
        if let Some(content) = content {
            candidate["content"] = content;
        }
        (candidate, numbered)
    });
    let number = |all: Vec<(Value, bool)>| {
        let number = |(index, (mut candidate, numbered)): (u64, (Value, bool))| {
            // The first number may be left out, as protocol buffers do with zeros.
            if numbered || index > 0 {
                candidate["index"] = index.into();
            }
            candidate
        };
        Value::from((0..).zip(all).map(number).collect::<Vec<_>>())
    };
    vec(candidate, 1..3).prop_map(number).boxed()
}

fn answered(candidates: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let head = object(vec![
        ("usageMetadata", usage()),
        ("modelVersion", text()),
        ("responseId", text()),
        ("createTime", Just("2026-01-01T00:00:00Z".into()).boxed()),
    ]);
    merged(head, candidates.prop_map(|candidates| json!({"candidates": candidates})).boxed())
}

/// An answer's body.
pub(super) fn answer() -> BoxedStrategy<Value> {
    let content = merged(
        object(vec![
            ("parts", vec(part(), 0..4).prop_map(Value::from).boxed()),
            ("role", one_of(vec!["model".into(), "user".into()])),
        ]),
        unknown(),
    );
    let extra = object(vec![
        ("avgLogprobs", Just(json!(-0.25)).boxed()),
        ("logprobsResult", logprobs()),
        ("finishMessage", text()),
        ("safetyRatings", Just(json!([{"category": "x", "probability": "LOW"}])).boxed()),
        ("groundingMetadata", grounding()),
    ]);
    let blocked =
        Just(json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}})).boxed();
    prop_oneof![8 => merged(answered(candidates(content, extra)), unknown()), 1 => blocked].boxed()
}

fn grounding() -> BoxedStrategy<Value> {
    one_of(vec![
        json!({}),
        json!({"groundingChunks": [{"web": {"uri": "https://x.test", "title": "t"}}], "groundingSupports":
            [{"segment": {"endIndex": 3, "text": "abc"}, "groundingChunkIndices": [0, 9]}]}),
    ])
}

/// An answer's body that a stream can say word for word: no two parts that a stream would put together.
pub(super) fn streamable() -> BoxedStrategy<Value> {
    let said = word().prop_map(|text| json!({"text": text})).boxed();
    let sealed = merged(said.clone(), Just(json!({"thoughtSignature": "AAAA"})).boxed());
    let thought = merged(said.clone(), Just(json!({"thought": true})).boxed());
    let whole =
        prop_oneof![merged(call(), seal()), media(), one_of(vec![json!({"executableCode": {"code": "1"}})])].boxed();
    let parts = (option::of(thought), option::of(prop_oneof![said, sealed]), vec(whole, 0..3));
    let content = parts.prop_map(|(thought, said, whole)| {
        let parts: Vec<Value> = thought.into_iter().chain(said).chain(whole).collect();
        if parts.is_empty() {
            json!({"parts": [{"text": "x"}], "role": "model"})
        } else {
            json!({"parts": parts, "role": "model"})
        }
    });
    let extra = object(vec![
        ("avgLogprobs", Just(json!(-0.25)).boxed()),
        ("logprobsResult", logprobs()),
        ("groundingMetadata", grounding()),
    ]);
    let whole = candidates(content.boxed(), extra).prop_filter("with content", |candidates| {
        candidates.as_array().into_iter().flatten().all(|candidate| candidate["content"].is_object())
    });
    let empty = |candidate: &mut Value| {
        if candidate["groundingMetadata"].as_object().is_some_and(Map::is_empty) {
            candidate.as_object_mut().into_iter().for_each(|members| drop(members.remove("groundingMetadata")));
        }
    };
    let whole = whole.prop_map(move |mut candidates| {
        candidates.as_array_mut().into_iter().flatten().for_each(empty);
        candidates
    });
    answered(whole.boxed())
}
