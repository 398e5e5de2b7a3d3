//! Embeddings by `invoke`: Amazon's Titan and Cohere's models have bodies of their own.
//!
//! Titan takes one text a call, Cohere 96: [`requests`] makes as many bodies as are needed, in
//! order, and [`read`] reads the answer to each; their vectors put together are those of the texts.

use crate::fault;
use crate::hub::write::{self, Obj};
use crate::hub::{AnswerError, DecodeError, EncodeError, Fields, Json, Loss, LossKind, Mode, Node, Place};
use crate::json::Kind;

/// The most texts of a call to Cohere's models.
pub const COHERE_BATCH: usize = 96;

/// Whose bodies a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Titan of the first generation: no dimensions.
    Titan,
    /// Titan of the second: dimensions, one text a call.
    TitanV2,
    /// Cohere's third generation: no dimensions.
    CohereV3,
    /// Cohere's fourth.
    CohereV4,
}

/// The bodies of an embedding, and what they do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// The body of each call, in the order of the texts.
    pub bodies: Vec<String>,
    /// What was lost.
    pub losses: Vec<Loss>,
}

/// What one call gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// A vector for each text of the call, as it was written: a list of numbers.
    pub vectors: Vec<Json>,
    /// The tokens of the texts. Cohere says them in the header `x-amzn-bedrock-input-token-count`
    /// alone.
    pub tokens: Option<u64>,
}

/// Makes the bodies for an OpenAI embeddings request. `input_type` of Cohere is `search_document`
/// unless the caller, who may send the member, says another; `truncate` is passed on, too.
/// `encoding_format` is the gateway's affair, who has the vectors.
pub fn requests(body: &[u8], style: Style) -> Result<Requests, EncodeError> {
    let refused = |error: DecodeError| EncodeError { field: error.field, why: error.why };
    let asked = Asked::read(body).map_err(refused)?;
    let mut losses = Vec::new();
    let mut drop = |field: &str, why: &str| {
        losses.push(Loss { field: field.to_owned(), what: LossKind::Dropped, why: why.to_owned() });
    };
    if asked.dimensions.is_some() && matches!(style, Style::Titan | Style::CohereV3) {
        drop("dimensions", "the model has vectors of one length");
    }
    if asked.user {
        drop("user", "Bedrock has no such parameter");
    }
    if matches!(style, Style::Titan | Style::TitanV2) {
        for (name, value) in [("input_type", &asked.input_type), ("truncate", &asked.truncate)] {
            if value.is_some() {
                drop(name, "Titan has no such parameter");
            }
        }
    }
    let bodies = match style {
        Style::Titan | Style::TitanV2 => asked.texts.iter().map(|text| titan(text, &asked, style)).collect(),
        Style::CohereV3 | Style::CohereV4 => {
            asked.texts.chunks(COHERE_BATCH).map(|texts| cohere(texts, &asked, style)).collect()
        }
    };
    Ok(Requests { bodies, losses })
}

/// What the caller asks.
struct Asked {
    texts: Vec<String>,
    dimensions: Option<u64>,
    input_type: Option<String>,
    truncate: Option<String>,
    user: bool,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Node::of_body(body, Mode::Request)?.fields(Place::root())?;
        Ok(Self {
            texts: texts(&mut fields)?,
            dimensions: fields.count("dimensions")?,
            input_type: fields.word("input_type")?,
            truncate: fields.word("truncate")?,
            user: fields.word("user")?.is_some(),
        })
    }
}

fn texts(fields: &mut Fields<'_>) -> Result<Vec<String>, DecodeError> {
    let tokens = "expected text: this model takes no token ids";
    let node = fields.take("input").ok_or_else(|| fields.error("input", "missing, expected a text or a list"))?;
    if let Some(text) = node.text() {
        return Ok(vec![text.into_owned()]);
    }
    let items = node.items(&Place::root().member("input"))?;
    if items.is_empty() {
        return Err(fields.error("input", "empty, send at least one text"));
    }
    let text = |(at, node): (Place, Node<'_>)| {
        node.text().map(std::borrow::Cow::into_owned).ok_or_else(|| DecodeError::new(at.as_str(), tokens))
    };
    items.into_iter().map(text).collect()
}

fn titan(text: &str, asked: &Asked, style: Style) -> String {
    write::object(|o| {
        o.text("inputText", text);
        if style == Style::TitanV2 {
            o.opt_count("dimensions", asked.dimensions);
        }
    })
}

fn cohere(texts: &[String], asked: &Asked, style: Style) -> String {
    write::object(|o: &mut Obj<'_>| {
        o.array("texts", |a| texts.iter().for_each(|text| a.text(text)));
        o.text("input_type", asked.input_type.as_deref().unwrap_or("search_document"));
        o.opt_text("truncate", asked.truncate.as_deref());
        if style == Style::CohereV4 {
            o.opt_count("output_dimension", asked.dimensions);
        }
        o.array("embedding_types", |a| a.text("float"));
    })
}

/// Reads the answer to one call.
pub fn read(body: &[u8]) -> Result<Vectors, AnswerError> {
    let mut fields = Node::of_body(body, Mode::Answer)?.fields(Place::root())?;
    let tokens = fields.count("inputTextTokenCount")?;
    if let Some(vector) = fields.take_kind("embedding", Kind::Array)? {
        return Ok(Vectors { vectors: vec![vector.json()], tokens });
    }
    if let Some(mut by_type) = fields.object("embeddingsByType")?
        && let Some(vector) = by_type.take_kind("float", Kind::Array)?
    {
        return Ok(Vectors { vectors: vec![vector.json()], tokens });
    }
    let list = match fields.object("embeddings")? {
        Some(mut by_type) => by_type.list("float")?,
        None => fields.list("embeddings")?,
    };
    if list.is_empty() {
        return match fields.peek("message") {
            Some(_) => Err(AnswerError::Upstream(fault::read_error(502, None, body))),
            None => Err(fields.error("embedding", "missing, expected a list of numbers").into()),
        };
    }
    Ok(Vectors { vectors: list.into_iter().map(|(_, node)| node.json()).collect(), tokens })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn made(body: Value, style: Style) -> (Vec<Value>, Vec<String>) {
        let made = requests(body.to_string().as_bytes(), style).unwrap();
        let bodies = made.bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        (bodies, made.losses.iter().map(|loss| loss.field.clone()).collect())
    }

    fn refused(body: Value) -> String {
        requests(body.to_string().as_bytes(), Style::TitanV2).unwrap_err().to_string()
    }

    #[test]
    fn titan_takes_one_text_a_call() {
        let body = json!({"model": "m", "input": ["a", "b"], "dimensions": 256, "encoding_format": "base64"});
        let (bodies, losses) = made(body.clone(), Style::TitanV2);
        assert_eq!(
            bodies,
            [json!({"inputText": "a", "dimensions": 256}), json!({"inputText": "b", "dimensions": 256})]
        );
        assert!(losses.is_empty());
        let (bodies, losses) = made(body, Style::Titan);
        assert_eq!((bodies[0].clone(), losses), (json!({"inputText": "a"}), vec!["dimensions".to_owned()]));
        let typed = json!({"input": "a", "input_type": "search_query", "user": "u"});
        assert_eq!(made(typed, Style::TitanV2).1, ["user", "input_type"]);
    }

    #[test]
    fn cohere_takes_ninety_six() {
        let texts: Vec<String> = (0..200).map(|text| text.to_string()).collect();
        let body = json!({"input": texts, "dimensions": 512, "input_type": "search_query", "truncate": "END"});
        let (bodies, losses) = made(body, Style::CohereV4);
        let lengths: Vec<usize> = bodies.iter().map(|body| body["texts"].as_array().unwrap().len()).collect();
        assert_eq!((lengths, losses.len()), (vec![96, 96, 8], 0));
        assert_eq!(bodies[2]["texts"][0], "192");
        assert_eq!((&bodies[0]["output_dimension"], &bodies[0]["truncate"]), (&json!(512), &json!("END")));
        let (bodies, _) = made(json!({"input": "a"}), Style::CohereV3);
        assert_eq!(bodies, [json!({"texts": ["a"], "input_type": "search_document", "embedding_types": ["float"]})]);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(refused(json!({})), "input: missing, expected a text or a list");
        assert_eq!(refused(json!({"input": []})), "input: empty, send at least one text");
        assert_eq!(refused(json!({"input": [[1, 2]]})), "input[0]: expected text: this model takes no token ids");
        assert_eq!(refused(json!({"input": [1, 2]})), "input[0]: expected text: this model takes no token ids");
        assert_eq!(
            refused(json!({"input": "a", "dimensions": -1})),
            "dimensions: expected a whole number of at least 0"
        );
    }

    #[test]
    fn answers_are_vectors_and_tokens() {
        let check = |body: &str, vectors: &[&str], tokens| {
            let read = read(body.as_bytes()).unwrap();
            let texts: Vec<&str> = read.vectors.iter().map(Json::as_str).collect();
            assert_eq!((&texts[..], read.tokens), (vectors, tokens), "{body}");
        };
        check(r#"{"embedding":[0.10,-2e-3],"inputTextTokenCount":7}"#, &["[0.10,-2e-3]"], Some(7));
        check(r#"{"embeddingsByType":{"float":[1]},"inputTextTokenCount":7}"#, &["[1]"], Some(7));
        check(r#"{"embeddings":[[1],[2]],"id":"x","texts":["a","b"]}"#, &["[1]", "[2]"], None);
        check(r#"{"embeddings":{"float":[[1],[2]]}}"#, &["[1]", "[2]"], None);
        let error = read(br#"{"message":"Too many requests"}"#).unwrap_err();
        assert_eq!(error.to_string(), "the provider failed: Too many requests");
        assert!(matches!(read(b"{}"), Err(AnswerError::Decode(_))));
        assert!(matches!(read(b"[]"), Err(AnswerError::Decode(_))));
    }
}
