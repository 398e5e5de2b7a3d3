//! Recorded exchanges of embeddings and reranking, where there are any.
//!
//! `WEIR_RECORDINGS` as in `hub_recorded.rs`.

#![expect(clippy::print_stdout, reason = "tells why nothing was checked, and how much was")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::path::PathBuf;

use serde_json::{Value, json};
use weir_wire::embed::{self, Api, Encoding};
use weir_wire::hub::AnswerError;
use weir_wire::rerank;
use weir_wire::rules::UsageRules;

struct Exchange {
    name: String,
    request: Option<Value>,
    status: u64,
    body: String,
}

/// The exchanges in these directories of the recordings.
fn exchanges(directories: &[&str]) -> Vec<Exchange> {
    let Some(root) = std::env::var_os("WEIR_RECORDINGS").map(PathBuf::from) else {
        println!("WEIR_RECORDINGS is not set: no recorded exchanges to check");
        return Vec::new();
    };
    let entries = |name: &&str| std::fs::read_dir(root.join(name)).into_iter().flatten();
    let mut files: Vec<PathBuf> = directories.iter().flat_map(entries).map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| exchange(file)).collect()
}

fn exchange(file: &std::path::Path) -> Exchange {
    let tree: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let request = tree["request"]["body"].as_str().and_then(|text| serde_json::from_str(text).ok());
    let body = tree["response"]["body"].as_str().unwrap_or_default().to_owned();
    Exchange { name: file.display().to_string(), request, status: tree["response"]["status"].as_u64().unwrap(), body }
}

const OPENAI: [&str; 4] =
    ["openai/embeddings", "azure-openai/embeddings", "mistral/embeddings", "self-hosted/embeddings"];

#[test]
fn openai_s_form_comes_back_as_it_was() {
    let (mut requests, mut answers) = (0, 0);
    for exchange in exchanges(&OPENAI) {
        if let Some(tree) = &exchange.request {
            let request = embed::decode_request(tree.to_string().as_bytes()).unwrap();
            let encoded = embed::encode_request(&request, Api::OpenAi, &request.model).unwrap();
            assert_eq!(&serde_json::from_str::<Value>(&encoded.body).unwrap(), tree, "{}", exchange.name);
            assert_eq!(encoded.losses, vec![], "{}", exchange.name);
            requests += 1;
        }
        let rules = UsageRules::default();
        let answer = match embed::decode_answer(exchange.body.as_bytes(), Api::OpenAi, &rules) {
            Ok(answer) if exchange.status == 200 => answer,
            Err(AnswerError::Upstream(_)) if exchange.status != 200 => continue,
            other => panic!("{}: {other:?}", exchange.name),
        };
        answers += 1;
        let tree: Value = serde_json::from_str(&exchange.body).unwrap();
        let packed = tree["data"][0]["embedding"].is_string();
        let encoding = if packed { Encoding::Base64 } else { Encoding::Float };
        let again = embed::encode_answer(&answer, Some(encoding), "");
        assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), tree, "{}", exchange.name);
        // Packed, unpacked and packed again: the same bits.
        for item in &answer.items {
            let decimals = embed::Vector::floats(&item.vector.to_floats()).unwrap();
            assert_eq!(decimals.to_packed(), item.vector.to_packed(), "{}", exchange.name);
        }
        let usage = answer.usage.unwrap().tokens.input;
        assert_eq!(tree["usage"]["prompt_tokens"], usage, "{}", exchange.name);
    }
    println!("{requests} requests and {answers} answers came back");
}

#[test]
fn other_forms_give_a_vector_for_each_text() {
    let mut count = 0;
    for (directory, api) in [
        ("cohere/embeddings", Api::Cohere),
        ("gemini/embed", Api::Gemini),
        ("vertex/embed", Api::Gemini),
        ("voyage/embeddings", Api::Voyage),
        ("ollama/embeddings", Api::Ollama),
    ] {
        for exchange in exchanges(&[directory]) {
            let read = embed::decode_answer(exchange.body.as_bytes(), api, &UsageRules::default());
            let tree: Value = serde_json::from_str(&exchange.body).unwrap();
            // A caller of OpenAI's form has no place for whole numbers of eight bits.
            if tree["embeddings"]["int8"].is_array() && tree["embeddings"]["float"].is_null() {
                assert!(matches!(read, Err(AnswerError::Decode(_))), "{}", exchange.name);
                continue;
            }
            let answer = match read {
                Ok(answer) if exchange.status == 200 => answer,
                Err(AnswerError::Upstream(_)) if exchange.status != 200 => continue,
                other => panic!("{}: {other:?}", exchange.name),
            };
            count += 1;
            let sent = exchange.request.as_ref().map(sent);
            assert!(sent.is_none_or(|sent| sent == answer.items.len()), "{}", exchange.name);
            assert!(answer.items.iter().all(|item| !item.vector.is_empty()), "{}", exchange.name);
            assert_eq!(answer.usage.map(|spent| spent.tokens.input), reported(&tree), "{}", exchange.name);
        }
    }
    println!("{count} answers of other forms read");
}

fn sent(request: &Value) -> usize {
    let lists = ["texts", "requests", "instances", "input"].into_iter().filter_map(|name| request[name].as_array());
    lists.map(Vec::len).next().unwrap_or(1)
}

fn reported(tree: &Value) -> Option<u64> {
    let counts = [
        &tree["meta"]["billed_units"]["input_tokens"],
        &tree["usageMetadata"]["promptTokenCount"],
        &tree["usage"]["total_tokens"],
    ];
    let counted = || {
        let counts =
            tree["predictions"].as_array()?.iter().map(|one| one["embeddings"]["statistics"]["token_count"].as_u64());
        counts.sum::<Option<u64>>()
    };
    counts.into_iter().find_map(Value::as_u64).or_else(counted)
}

#[test]
fn requests_of_other_forms_are_what_their_clients_send() {
    let mut count = 0;
    for (directory, api, own) in [
        ("cohere/embeddings", Api::Cohere, "texts"),
        ("voyage/embeddings", Api::Voyage, "input"),
        ("gemini/embed", Api::Gemini, "requests"),
    ] {
        for exchange in exchanges(&[directory]) {
            let Some(theirs) = exchange.request.filter(|tree| tree[own].is_array()) else { continue };
            let mut asked = json!({"model": theirs["model"], "input": theirs[own]});
            for (name, value) in [
                ("input_type", &theirs["input_type"]),
                ("truncate", &theirs["truncate"]),
                ("truncation", &theirs["truncation"]),
                ("encoding_format", &theirs["encoding_format"]),
            ] {
                if !value.is_null() {
                    asked[name] = value.clone();
                }
            }
            if api == Api::Gemini {
                let texts = theirs["requests"].as_array().unwrap();
                // One vector of several texts: OpenAI's form cannot ask for it.
                if texts.iter().any(|one| one["content"]["parts"].as_array().is_none_or(|parts| parts.len() != 1)) {
                    continue;
                }
                asked["model"] = texts[0]["model"].clone();
                asked["input"] = texts.iter().map(|one| one["content"]["parts"][0]["text"].clone()).collect();
                asked["task_type"] = texts[0]["taskType"].clone();
                asked["dimensions"] = texts[0]["outputDimensionality"].clone();
            }
            let request = embed::decode_request(asked.to_string().as_bytes()).unwrap();
            let encoded = embed::encode_request(&request, api, &request.model).unwrap();
            let ours: Value = serde_json::from_str(&encoded.body).unwrap();
            assert_eq!(shorn(ours), shorn(theirs), "{}", exchange.name);
            count += 1;
        }
    }
    println!("{count} requests of other forms written");
}

/// Without nulls, the roles that Gemini does not need, and the type of vector, which is our choice.
fn shorn(mut tree: Value) -> Value {
    match &mut tree {
        Value::Object(members) => {
            members.retain(|name, value| !value.is_null() && name != "role" && name != "embedding_types");
            members.values_mut().for_each(|value| *value = shorn(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = shorn(item.take())),
        _ => {}
    }
    tree
}

#[test]
fn rerankings_come_back() {
    let mut count = 0;
    for exchange in exchanges(&["cohere/rerank", "voyage/rerank", "together/rerank", "bedrock/rerank"]) {
        let tree: Value = serde_json::from_str(&exchange.body).unwrap();
        let asked = exchange.request.clone().unwrap_or_else(|| json!({"query": "q", "documents": vec!["d"; 10]}));
        let request = rerank::decode_request(asked.to_string().as_bytes()).unwrap();
        let sent = request.documents.len();
        let answer = rerank::decode_answer(exchange.body.as_bytes(), sent, &UsageRules::default()).unwrap();
        let told: Value = serde_json::from_str(&rerank::encode_answer(&answer, &request, "i", "m")).unwrap();
        let theirs = if tree["data"].is_array() { &tree["data"] } else { &tree["results"] };
        for (ours, theirs) in told["results"].as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
            assert_eq!(ours["index"], theirs["index"], "{}", exchange.name);
            let score = theirs.get("relevance_score").or(theirs.get("relevanceScore")).unwrap();
            assert_eq!(&ours["relevance_score"], score, "{}", exchange.name);
        }
        assert_eq!(told["results"].as_array().unwrap().len(), theirs.as_array().unwrap().len(), "{}", exchange.name);
        let spent = answer.usage.map(|spent| spent.tokens).unwrap_or_default();
        assert_eq!(tree["meta"]["billed_units"]["search_units"].as_u64().unwrap_or(0), spent.search_units);
        assert_eq!(tree["usage"]["total_tokens"].as_u64().unwrap_or(0), spent.input + spent.output);
        count += 1;
    }
    println!("{count} rerankings read");
}
