//! Gemini's dialect: actions on a model, which stand at the end of the path.

pub mod models;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::Uri;
use percent_encoding::percent_decode_str;
use weir_wire::gemini::{self as wire, Framing};

use super::generate::{self, Ask};
use crate::error::ApiError;
use crate::flight::{Flight, bounded};
use crate::snapshot::Operation;
use crate::state::Gateway;

/// What is asked of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The model's name.
    pub model: String,
    /// What to do.
    pub verb: Verb,
}

/// The actions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the action of its name")]
pub enum Verb {
    GenerateContent,
    StreamGenerateContent,
    CountTokens,
    EmbedContent,
    BatchEmbedContents,
}

impl Action {
    /// Its name in rows and metrics.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match self.verb {
            Verb::GenerateContent | Verb::StreamGenerateContent => Operation::GenerateContent.endpoint(),
            Verb::CountTokens => "countTokens",
            Verb::EmbedContent | Verb::BatchEmbedContents => Operation::EmbedContent.endpoint(),
        }
    }
}

/// The action of a path such as `/v1beta/models/gemini-pro:generateContent`. The model may hold slashes
/// (`demo/chat`), and the `models/` that clients put before it.
#[must_use]
pub fn action(path: &str) -> Option<Action> {
    let rest = path.strip_prefix("/v1beta/").or_else(|| path.strip_prefix("/v1/models/"))?;
    // Clients leave `models/` out before a name with a slash in it.
    let rest = rest.strip_prefix("models/").unwrap_or(rest);
    let (model, verb) = rest.rsplit_once(':').or_else(|| escaped(rest))?;
    let verb = match verb {
        "generateContent" => Verb::GenerateContent,
        "streamGenerateContent" => Verb::StreamGenerateContent,
        "countTokens" => Verb::CountTokens,
        "embedContent" => Verb::EmbedContent,
        "batchEmbedContents" => Verb::BatchEmbedContents,
        _ => return None,
    };
    let model = percent_decode_str(model).decode_utf8().ok()?;
    let model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    (!model.is_empty()).then_some(Action { model, verb })
}

/// Some clients escape the colon.
fn escaped(rest: &str) -> Option<(&str, &str)> {
    let at = rest.rfind("%3A").or_else(|| rest.rfind("%3a"))?;
    Some((&rest[..at], &rest[at + 3..]))
}

/// How a stream is to be framed: as events where the query asks for them, else as an array.
#[must_use]
pub fn framing(uri: &Uri) -> Framing {
    let streams = action(uri.path()).is_some_and(|action| action.verb == Verb::StreamGenerateContent);
    let sse = uri.query().unwrap_or("").split('&').any(|pair| pair.eq_ignore_ascii_case("alt=sse"));
    if streams && !sse { Framing::Array } else { Framing::Sse }
}

/// Serves an action.
///
/// # Errors
/// 404 for an action that there is not; else as [`generate::serve`].
pub async fn serve(gateway: &Gateway, flight: &Arc<Flight>, request: Request) -> Result<Response, ApiError> {
    let action = action(request.uri().path()).ok_or_else(|| unknown(request.uri().path()))?;
    let embeds = matches!(action.verb, Verb::EmbedContent | Verb::BatchEmbedContents);
    let ask = Ask {
        operation: if embeds { Operation::EmbedContent } else { Operation::GenerateContent },
        model: Some(action.model),
        stream: action.verb == Verb::StreamGenerateContent,
        framing: framing(request.uri()),
    };
    match action.verb {
        Verb::CountTokens => {
            let tokens = generate::count(gateway, flight, request, ask).await?;
            Ok(generate::json(wire::encode_count(tokens)))
        }
        _ => generate::serve(gateway, flight, request, ask).await,
    }
}

fn unknown(path: &str) -> ApiError {
    let message = format!(
        "there is nothing at {}; a model takes :generateContent, :streamGenerateContent, :countTokens, :embedContent and \
         :batchEmbedContents",
        bounded(path, 200)
    );
    ApiError::not_found("unknown_path", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_actions_are_told_apart() {
        let read = |path| action(path).map(|action| (action.model, action.verb));
        let expected = |model: &str, verb| Some((model.to_owned(), verb));
        for (path, model) in [
            ("/v1beta/models/gemini-pro:generateContent", "gemini-pro"),
            ("/v1/models/gemini-pro:generateContent", "gemini-pro"),
            ("/v1beta/models/demo/chat:generateContent", "demo/chat"),
            ("/v1beta/models/demo%2Fchat:generateContent", "demo/chat"),
            ("/v1beta/demo/chat:generateContent", "demo/chat"),
            ("/v1beta/models/models/a:b:generateContent", "a:b"),
            ("/v1beta/models/gemini-pro%3AgenerateContent", "gemini-pro"),
        ] {
            assert_eq!(read(path), expected(model, Verb::GenerateContent), "{path}");
        }
        for path in ["/v1beta/models/gemini-pro", "/v1beta/models/x:fly", "/v1beta/models/:countTokens"] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn a_stream_is_an_array_unless_events_are_asked_for() {
        let framing = |uri: &str| framing(&uri.parse().unwrap());
        assert_eq!(framing("/v1beta/models/m:streamGenerateContent"), Framing::Array);
        assert_eq!(framing("/v1beta/models/m:streamGenerateContent?alt=sse&x=1"), Framing::Sse);
        assert_eq!(framing("/v1beta/models/m:generateContent"), Framing::Sse);
    }
}
