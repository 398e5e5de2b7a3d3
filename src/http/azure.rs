//! Azure's paths, as its clients write them: `/openai/deployments/{model}/chat/completions` and the
//! like. The deployment is the model's name; `api-version` is not looked at.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::generate::{self, Ask};
use crate::error::ApiError;
use crate::flight::{Flight, bounded};
use crate::snapshot::Operation;
use crate::state::Gateway;

/// Serves a path below `/openai`.
///
/// # Errors
/// 404 for an operation that is not served there; else as [`generate::serve`].
pub async fn serve(gateway: &Gateway, flight: &Arc<Flight>, request: Request) -> Result<Response, ApiError> {
    let ask = ask(request.uri().path()).ok_or_else(|| unknown(request.uri().path()))?;
    generate::serve(gateway, flight, request, ask).await
}

fn ask(path: &str) -> Option<Ask> {
    let rest = path.strip_prefix("/openai/")?;
    if let Some(operation) = rest.strip_prefix("v1/").or(Some(rest)).and_then(without_model) {
        return Some(operation.into());
    }
    let (model, rest) = rest.strip_prefix("deployments/")?.split_once('/')?;
    let model = percent_encoding::percent_decode_str(model).decode_utf8().ok()?;
    let operation = match rest {
        "chat/completions" => Operation::Chat,
        "completions" => Operation::Completions,
        "embeddings" => Operation::Embeddings,
        _ => return None,
    };
    Some(Ask { model: Some(model.into_owned()), ..operation.into() })
}

/// Paths of the newer form, which have the model in the body.
fn without_model(path: &str) -> Option<Operation> {
    Some(match path {
        "chat/completions" => Operation::Chat,
        "completions" => Operation::Completions,
        "embeddings" => Operation::Embeddings,
        "responses" => Operation::Responses,
        _ => return None,
    })
}

fn unknown(path: &str) -> ApiError {
    let path = bounded(path, 200);
    let message = format!(
        "there is nothing at {path}; of Azure's paths chat/completions, completions and embeddings of a deployment are \
         served, and the same with responses below /openai/v1"
    );
    ApiError::not_found("unknown_path", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_models() {
        let read = |path| ask(path).map(|ask| (ask.operation, ask.model));
        let chat = |model: &str| Some((Operation::Chat, Some(model.to_owned())));
        assert_eq!(read("/openai/deployments/gpt-4o/chat/completions"), chat("gpt-4o"));
        assert_eq!(read("/openai/deployments/demo%2Fchat/chat/completions"), chat("demo/chat"));
        assert_eq!(read("/openai/v1/responses"), Some((Operation::Responses, None)));
        assert_eq!(read("/openai/deployments/gpt-4o/images/generations"), None);
        assert_eq!(read("/openai/deployments/gpt-4o"), None);
    }
}
