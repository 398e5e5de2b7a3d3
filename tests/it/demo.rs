//! The demo provider, tried in each dialect that comes in: thoughts, tools, images, JSON schemas, and
//! what callers of OpenAI's own dialect ask for beside them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Setup};

const FORMS: [&str; 4] = ["chat", "responses", "anthropic", "gemini"];
/// One pixel wide, two high.
const GIF: &str = "R0lGODlhAQACAAAAACw=";

async fn gateway() -> (Gateway, String) {
    let gateway = Setup::new("").start().await;
    let key = gateway.plain_key().await;
    (gateway, key)
}

/// What a form's caller asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    thinks: bool,
    tools: bool,
    schema: bool,
    image: bool,
    streams: bool,
}

/// A conversation in one form.
struct Talk {
    form: &'static str,
    wish: Wish,
    /// `messages`, `input` or `contents`.
    turns: Vec<Value>,
}

/// What the demo said, whatever the form.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    thoughts: String,
    text: String,
    /// Names, arguments.
    calls: Vec<(String, Value)>,
    /// As the form says it.
    end: String,
    output: u64,
}

impl Talk {
    fn new(form: &'static str, wish: Wish, text: &str) -> Self {
        let turn = match form {
            "chat" if wish.image => json!({"role": "user", "content": [{"type": "text", "text": text},
                {"type": "image_url", "image_url": {"url": format!("data:image/gif;base64,{GIF}")}}]}),
            "responses" if wish.image => json!({"role": "user", "content": [{"type": "input_text", "text": text},
                {"type": "input_image", "image_url": format!("data:image/gif;base64,{GIF}"), "detail": "auto"}]}),
            "anthropic" if wish.image => json!({"role": "user", "content": [{"type": "text", "text": text},
                {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": GIF}}]}),
            "gemini" if wish.image => json!({"role": "user", "parts": [{"text": text},
                {"inlineData": {"mimeType": "image/gif", "data": GIF}}]}),
            "gemini" => json!({"role": "user", "parts": [{"text": text}]}),
            _ => json!({"role": "user", "content": text}),
        };
        Self { form, wish, turns: vec![turn] }
    }

    fn path(&self) -> &'static str {
        match self.form {
            "chat" => "/v1/chat/completions",
            "responses" => "/v1/responses",
            "anthropic" => "/v1/messages",
            _ if self.wish.streams => "/v1beta/models/demo/chat:streamGenerateContent?alt=sse",
            _ => "/v1beta/models/demo/chat:generateContent",
        }
    }

    fn body(&self) -> Value {
        let turns = self.turns.clone();
        let mut body = match self.form {
            "chat" => json!({"model": "demo/chat", "messages": turns, "stream": self.wish.streams}),
            "responses" => json!({"model": "demo/chat", "input": turns, "stream": self.wish.streams, "store": false,
                "include": ["reasoning.encrypted_content"]}),
            "anthropic" => {
                json!({"model": "demo/chat", "messages": turns, "stream": self.wish.streams, "max_tokens": 4000})
            }
            _ => json!({"contents": turns, "generationConfig": {}}),
        };
        if self.wish.streams && self.form == "chat" {
            body["stream_options"] = json!({"include_usage": true});
        }
        if self.wish.thinks {
            self.think(&mut body);
        }
        if self.wish.tools {
            body["tools"] = self.tools();
        }
        if self.wish.schema {
            self.schema(&mut body);
        }
        body
    }

    fn think(&self, body: &mut Value) {
        match self.form {
            "chat" => body["reasoning_effort"] = json!("medium"),
            "responses" => body["reasoning"] = json!({"effort": "medium", "summary": "auto"}),
            "anthropic" => body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000}),
            _ => {
                body["generationConfig"]["thinkingConfig"] = json!({"thinkingLevel": "MEDIUM", "includeThoughts": true})
            }
        }
    }

    fn tools(&self) -> Value {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        let tool = |name: &str| match self.form {
            "chat" => json!({"type": "function", "function": {"name": name, "parameters": schema}}),
            "responses" => json!({"type": "function", "name": name, "parameters": schema, "strict": false}),
            "anthropic" => json!({"name": name, "input_schema": schema}),
            _ => json!({"name": name, "parametersJsonSchema": schema}),
        };
        let tools = ["weather", "clock", "map"].map(tool);
        if self.form == "gemini" { json!([{"functionDeclarations": tools}]) } else { json!(tools) }
    }

    fn schema(&self, body: &mut Value) {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"],
            "additionalProperties": false});
        match self.form {
            "chat" => {
                body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
            }
            "responses" => body["text"] = json!({"format": {"type": "json_schema", "name": "a", "schema": schema}}),
            "anthropic" => body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}}),
            _ => {
                body["generationConfig"]["responseMimeType"] = json!("application/json");
                body["generationConfig"]["responseJsonSchema"] = schema;
            }
        }
    }

    /// Asks, and takes the answer into the conversation as a client of the form does.
    async fn ask(&mut self, gateway: &Gateway, key: &str) -> Said {
        let reply = gateway.post(key, self.path(), self.body()).await;
        assert_eq!(reply.status, StatusCode::OK, "{}: {}", self.form, reply.text());
        let answer = if self.wish.streams { gathered(self.form, &reply.text()) } else { reply.json() };
        let said = read(self.form, &answer);
        match self.form {
            "chat" => self.turns.push(answer["choices"][0]["message"].clone()),
            "responses" => self.turns.extend(answer["output"].as_array().unwrap().clone()),
            "anthropic" => self.turns.push(json!({"role": "assistant", "content": answer["content"]})),
            _ => self.turns.push(answer["candidates"][0]["content"].clone()),
        }
        said
    }

    /// Gives each call of the last answer a result.
    fn results(&mut self) {
        let last = self.turns.last().unwrap().clone();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        match self.form {
            "chat" => {
                let results = list(&last["tool_calls"]);
                let result = |call: &Value| json!({"role": "tool", "tool_call_id": call["id"], "content": named(&call["function"])});
                self.turns.extend(results.iter().map(result));
            }
            "responses" => {
                let calls: Vec<Value> =
                    self.turns.iter().filter(|item| item["type"] == "function_call").cloned().collect();
                let result = |call: &Value| json!({"type": "function_call_output", "call_id": call["call_id"], "output": named(call)});
                self.turns.extend(calls.iter().map(result));
            }
            "anthropic" => {
                let calls = list(&last["content"]).into_iter().filter(|block| block["type"] == "tool_use");
                let results: Vec<Value> = calls
                    .map(|call| json!({"type": "tool_result", "tool_use_id": call["id"], "content": named(&call)}))
                    .collect();
                self.turns.push(json!({"role": "user", "content": results}));
            }
            _ => {
                let calls = list(&last["parts"]).into_iter().filter(|part| part["functionCall"].is_object());
                let results: Vec<Value> = calls
                    .map(|part| {
                        let call = &part["functionCall"];
                        json!({"functionResponse": {"id": call["id"], "name": call["name"], "response": {"result": named(call)}}})
                    })
                    .collect();
                self.turns.push(json!({"role": "user", "parts": results}));
            }
        }
    }
}

fn named(call: &Value) -> String {
    format!("{} is fine", call["name"].as_str().unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A whole answer as its caller reads it.
fn read(form: &str, answer: &Value) -> Said {
    let mut said = Said::default();
    let object = |value: &Value| serde_json::from_str::<Value>(value.as_str().unwrap()).unwrap();
    match form {
        "chat" => {
            let choice = &answer["choices"][0];
            let message = &choice["message"];
            said.thoughts = text(&message["reasoning_content"]);
            said.text = text(&message["content"]);
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                said.calls.push((text(&call["function"]["name"]), object(&call["function"]["arguments"])));
            }
            said.end = text(&choice["finish_reason"]);
            said.output = answer["usage"]["completion_tokens"].as_u64().unwrap();
        }
        "responses" => {
            for item in answer["output"].as_array().unwrap() {
                let list = |name: &str| item[name].as_array().cloned().unwrap_or_default();
                match item["type"].as_str().unwrap() {
                    "reasoning" => {
                        let texts = [list("summary"), list("content")].concat();
                        said.thoughts += &texts.iter().map(|part| text(&part["text"])).collect::<String>();
                    }
                    "message" => {
                        said.text += &list("content").iter().map(|part| text(&part["text"])).collect::<String>()
                    }
                    "function_call" => said.calls.push((text(&item["name"]), object(&item["arguments"]))),
                    other => panic!("{other}"),
                }
            }
            said.end = text(&answer["status"]);
            said.output = answer["usage"]["output_tokens"].as_u64().unwrap();
        }
        "anthropic" => {
            for block in answer["content"].as_array().unwrap() {
                match block["type"].as_str().unwrap() {
                    "thinking" => said.thoughts += block["thinking"].as_str().unwrap(),
                    "text" => said.text += block["text"].as_str().unwrap(),
                    "tool_use" => said.calls.push((text(&block["name"]), block["input"].clone())),
                    other => panic!("{other}"),
                }
            }
            said.end = text(&answer["stop_reason"]);
            said.output = answer["usage"]["output_tokens"].as_u64().unwrap();
        }
        _ => {
            let candidate = &answer["candidates"][0];
            for part in candidate["content"]["parts"].as_array().unwrap() {
                match part {
                    part if part["thought"] == true => said.thoughts += &text(&part["text"]),
                    part if part["functionCall"].is_object() => {
                        said.calls.push((text(&part["functionCall"]["name"]), part["functionCall"]["args"].clone()));
                    }
                    part => said.text += &text(&part["text"]),
                }
            }
            said.end = text(&candidate["finishReason"]);
            let usage = &answer["usageMetadata"];
            let count = |name: &str| usage[name].as_u64().unwrap_or(0);
            said.output = count("candidatesTokenCount") + count("thoughtsTokenCount");
        }
    }
    said
}

/// A stream put together to the whole answer that its client sees.
fn gathered(form: &str, stream: &str) -> Value {
    let events: Vec<Value> = stream
        .split("\n\n")
        .filter_map(|frame| frame.lines().find_map(|line| line.strip_prefix("data: ")))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    match form {
        "chat" => chat(&events),
        "responses" => events.iter().find(|event| event["type"] == "response.completed").unwrap()["response"].clone(),
        "anthropic" => message(&events),
        _ => content(&events),
    }
}

fn chat(events: &[Value]) -> Value {
    let mut whole = json!({"choices": [{"message": {"role": "assistant", "content": null}}]});
    let mut calls: Vec<Value> = Vec::new();
    let (mut said, mut thoughts, mut detail) = (String::new(), String::new(), json!({"type": "reasoning.text"}));
    for event in events {
        let delta = &event["choices"][0]["delta"];
        said += &text(&delta["content"]);
        thoughts += &text(&delta["reasoning_content"]);
        if let Some(signature) = delta["reasoning_details"][0].get("signature") {
            detail["signature"] = signature.clone();
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            match calls.get_mut(at) {
                Some(known) => {
                    let arguments = text(&known["function"]["arguments"]) + &text(&call["function"]["arguments"]);
                    known["function"]["arguments"] = arguments.into();
                }
                None => calls.push(call.clone()),
            }
        }
        if event["choices"][0]["finish_reason"].is_string() {
            whole["choices"][0]["finish_reason"] = event["choices"][0]["finish_reason"].clone();
        }
        if event["usage"].is_object() {
            whole["usage"] = event["usage"].clone();
        }
    }
    let message = &mut whole["choices"][0]["message"];
    message["content"] = said.into();
    if !thoughts.is_empty() {
        detail["text"] = thoughts.clone().into();
        message["reasoning_content"] = thoughts.into();
        message["reasoning_details"] = json!([detail]);
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    whole
}

fn message(events: &[Value]) -> Value {
    let mut whole = Value::Null;
    let (mut blocks, mut input): (Vec<Value>, String) = (Vec::new(), String::new());
    for event in events {
        match event["type"].as_str().unwrap() {
            "message_start" => whole = event["message"].clone(),
            "content_block_start" => {
                blocks.push(event["content_block"].clone());
                input.clear();
            }
            "content_block_delta" => {
                let (delta, block) = (&event["delta"], blocks.last_mut().unwrap());
                match delta["type"].as_str().unwrap() {
                    "input_json_delta" => {
                        input += &text(&delta["partial_json"]);
                    }
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    kind => {
                        let name = if kind == "text_delta" { "text" } else { "thinking" };
                        block[name] = (text(&block[name]) + &text(&delta[name])).into();
                    }
                }
            }
            "content_block_stop" => {
                let block = blocks.last_mut().unwrap();
                if block["type"] == "tool_use" {
                    block["input"] = serde_json::from_str(&input).unwrap();
                }
            }
            "message_delta" => {
                whole["stop_reason"] = event["delta"]["stop_reason"].clone();
                whole["usage"] = event["usage"].clone();
            }
            _ => {}
        }
    }
    whole["content"] = blocks.into();
    whole
}

fn content(events: &[Value]) -> Value {
    let mut whole = json!({"candidates": [{}]});
    let mut parts = Vec::new();
    for event in events {
        let candidate = &event["candidates"][0];
        parts.extend(candidate["content"]["parts"].as_array().into_iter().flatten().cloned());
        if candidate["finishReason"].is_string() {
            whole["candidates"][0]["finishReason"] = candidate["finishReason"].clone();
        }
        if event["usageMetadata"].is_object() {
            whole["usageMetadata"] = event["usageMetadata"].clone();
        }
    }
    whole["candidates"][0]["content"] = json!({"role": "model", "parts": parts});
    whole
}

/// The same wish in each form, whole and as a stream.
async fn in_every_form(wish: Wish, said: &str, check: impl AsyncFn(&Gateway, &str, Talk)) {
    let (gateway, key) = gateway().await;
    for form in FORMS {
        for streams in [false, true] {
            check(&gateway, &key, Talk::new(form, Wish { streams, ..wish }, said)).await;
        }
    }
}

/// How a form says that all was said, and that tools are called.
fn ends(form: &str) -> [&'static str; 2] {
    match form {
        "chat" => ["stop", "tool_calls"],
        "responses" => ["completed", "completed"],
        "anthropic" => ["end_turn", "tool_use"],
        _ => ["STOP", "STOP"],
    }
}

#[tokio::test]
async fn it_thinks_when_it_is_told_to() {
    let thinks = Wish { thinks: true, ..Wish::default() };
    in_every_form(thinks, "hello there", async |gateway, key, mut talk| {
        let form = talk.form;
        let said = talk.ask(gateway, key).await;
        assert!(said.thoughts.starts_with("The user's last message has 2 words."), "{form}: {said:?}");
        assert_eq!(said.text, "This is the demo model of your gateway. You said: hello there", "{form}");
        assert_eq!(said.end, ends(form)[0], "{form}");
        let words = said.thoughts.split(' ').count() + said.text.split(' ').count();
        assert_eq!(said.output, words as u64, "{form}: thoughts are counted, once: {said:?}");
    })
    .await;
    in_every_form(Wish::default(), "hello", async |gateway, key, mut talk| {
        let said = talk.ask(gateway, key).await;
        assert_eq!(said.thoughts, "", "{}", talk.form);
    })
    .await;
}

/// The whole loop: thoughts, two calls at once, their results, the thoughts' seal back, an answer.
#[tokio::test]
async fn a_tool_loop_comes_to_its_end() {
    let wish = Wish { thinks: true, tools: true, ..Wish::default() };
    in_every_form(wish, "weather and map, please", async |gateway, key, mut talk| {
        let form = talk.form;
        let said = talk.ask(gateway, key).await;
        let city = json!({"city": "demo"});
        assert_eq!(said.calls, [("weather".to_owned(), city.clone()), ("map".to_owned(), city)], "{form}");
        assert_eq!((said.text.as_str(), said.end.as_str()), ("", ends(form)[1]), "{form}");
        assert!(!said.thoughts.is_empty(), "{form}");
        talk.results();
        let said = talk.ask(gateway, key).await;
        assert!(said.calls.is_empty() && said.text.starts_with("The tools answered: "), "{form}: {said:?}");
        assert!(said.text.contains("weather is fine") && said.text.contains("map is fine"), "{form}: {said:?}");
        assert!(said.text.ends_with("My thoughts came back with their seal."), "{form}: {said:?}");
    })
    .await;
}

#[tokio::test]
async fn it_says_what_it_is_shown() {
    in_every_form(Wish { image: true, ..Wish::default() }, "look:", async |gateway, key, mut talk| {
        let said = talk.ask(gateway, key).await;
        assert!(said.text.ends_with("look: [an image: GIF, 1 x 2 pixels]"), "{}: {said:?}", talk.form);
    })
    .await;
}

#[tokio::test]
async fn it_fits_a_schema() {
    in_every_form(Wish { schema: true, ..Wish::default() }, "a number", async |gateway, key, mut talk| {
        let said = talk.ask(gateway, key).await;
        assert_eq!(serde_json::from_str::<Value>(&said.text).unwrap(), json!({"n": 3}), "{}", talk.form);
    })
    .await;
}

async fn chat_of(gateway: &Gateway, key: &str, said: &str, more: Value) -> Value {
    let mut body = json!({"model": "demo/chat", "messages": [{"role": "user", "content": said}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = gateway.post(key, "/v1/chat/completions", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let whole = reply.json();
    // Asked for as a stream the same is said.
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let streamed = gathered("chat", &gateway.post(key, "/v1/chat/completions", &body).await.text());
    let (choice, other) = (&whole["choices"][0], &streamed["choices"][0]);
    if whole["choices"].as_array().unwrap().len() == 1 && choice["message"]["refusal"].is_null() {
        assert_eq!(text(&choice["message"]["content"]), text(&other["message"]["content"]));
    }
    assert_eq!(choice["finish_reason"], other["finish_reason"]);
    assert_eq!(whole["usage"]["completion_tokens"], streamed["usage"]["completion_tokens"]);
    whole
}

#[tokio::test]
async fn it_heeds_what_chat_callers_ask_for() {
    let (gateway, key) = gateway().await;
    let ask = async |said: &str, more: Value| chat_of(&gateway, &key, said, more).await;

    let stopped = ask("one two three", json!({"stop": ["three", " two"]})).await;
    assert!(text(&stopped["choices"][0]["message"]["content"]).ends_with("You said: one"), "{stopped}");
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");

    let several = ask("hi", json!({"n": 3})).await;
    let ends: Vec<_> =
        several["choices"].as_array().unwrap().iter().map(|one| text(&one["message"]["content"])).collect();
    assert!(ends[0].ends_with("hi") && ends[1].ends_with("(choice 2)") && ends[2].ends_with("(choice 3)"), "{ends:?}");

    let likely = ask("hi", json!({"logprobs": true, "top_logprobs": 2})).await;
    let tokens = likely["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let joined: String = tokens.iter().map(|one| text(&one["token"])).collect();
    assert_eq!(joined, text(&likely["choices"][0]["message"]["content"]));
    assert!(tokens.iter().all(|one| one["top_logprobs"].as_array().unwrap().len() == 2), "{likely}");

    let refused = ask("Please refuse this", json!({})).await;
    let message = &refused["choices"][0]["message"];
    assert_eq!((&message["content"], &message["refusal"]), (&Value::Null, &json!("I was asked to refuse, so I do.")));

    let short = ask("hi", json!({"reasoning_effort": "high", "max_completion_tokens": 3})).await;
    let details = &short["usage"]["completion_tokens_details"];
    assert_eq!((&short["choices"][0]["finish_reason"], &details["reasoning_tokens"]), (&json!("length"), &json!(3)));

    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let forced = ask("hi", json!({"tools": [tool("a"), tool("b")], "tool_choice": tool("b")})).await;
    assert_eq!(forced["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "b");
    let none = ask("hi", json!({"tools": [tool("a")], "tool_choice": "none"})).await;
    assert!(none["choices"][0]["message"].get("tool_calls").is_none(), "{none}");
}

#[tokio::test]
async fn it_refuses_what_it_cannot_do_in_the_callers_dialect() {
    let (gateway, key) = gateway().await;
    let body = |more: Value| {
        let mut body = json!({"model": "demo/chat", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for n in [json!(0), json!(9), json!("x")] {
        let reply = gateway.post(&key, "/v1/chat/completions", body(json!({"n": n}))).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
    }
    let tools = json!([{"name": "a", "input_schema": {"type": "object"}}]);
    let forced = body(json!({"tools": tools, "tool_choice": {"type": "tool", "name": "fly"}}));
    let reply = gateway.post(&key, "/v1/messages", forced).await;
    assert_eq!((reply.status, &reply.json()["type"]), (StatusCode::BAD_REQUEST, &json!("error")), "{}", reply.text());
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("'fly'"), "{}", reply.text());
}

/// Marks of Anthropic's callers reach it, and count as read from a cache.
#[tokio::test]
async fn what_is_marked_counts_as_cached() {
    let (gateway, key) = gateway().await;
    let marked = json!({"type": "text", "text": "a b c d", "cache_control": {"type": "ephemeral"}});
    let body = json!({"model": "demo/chat", "max_tokens": 50, "system": [marked], "messages": [{"role": "user", "content": "hi"}]});
    let reply = gateway.post(&key, "/v1/messages", body).await;
    let usage = &reply.json()["usage"];
    assert_eq!((&usage["cache_read_input_tokens"], &usage["input_tokens"]), (&json!(7), &json!(4)), "{}", reply.text());
    assert_eq!(reply.header("x-weir-warnings"), None);
}

#[tokio::test]
async fn sounds_and_files_are_described_and_images_elsewhere_are_not_fetched() {
    let (gateway, key) = gateway().await;
    let content = json!([
        {"type": "image_url", "image_url": {"url": "https://images.example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"format": "mp3", "data": "AAAA"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAAAAAA"}},
    ]);
    let body = json!({"model": "demo/chat", "messages": [{"role": "user", "content": content}]});
    let reply = gateway.post(&key, "/v1/chat/completions", body).await;
    let said = text(&reply.json()["choices"][0]["message"]["content"]);
    assert!(
        said.ends_with("[an image at images.example.com] [a sound: mp3, 3 bytes] [a file: a.pdf, 6 bytes]"),
        "{said}"
    );
}

/// The demo keeps nothing, so Weir does: a client refers to the response before.
#[tokio::test]
async fn a_response_is_kept() {
    let (gateway, key) = gateway().await;
    let ask = async |more: Value| {
        let mut body = json!({"model": "demo/chat", "input": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gateway.post(&key, "/v1/responses", body).await
    };
    let first = ask(json!({})).await.json();
    let second = ask(json!({"previous_response_id": first["id"]})).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    let (before, after) = (&first["usage"]["input_tokens"], &second.json()["usage"]["input_tokens"]);
    assert!(after.as_u64() > before.as_u64(), "the conversation before was sent along: {before} {after}");
    let third = ask(json!({"previous_response_id": "resp_nobody_made"})).await;
    let told = (third.status, third.code());
    assert_eq!(told, (StatusCode::BAD_REQUEST, "previous_response_not_found".into()), "{}", third.text());
}
