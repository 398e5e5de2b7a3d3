//! The id at the end of a path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::error::ApiError;
use crate::flight::bounded;

/// The path's one parameter, percent-decoded.
#[derive(Clone, Debug)]
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    /// 404 for what does not decode to UTF-8: nothing has such an id.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = Path::<String>::from_request_parts(parts, state).await;
        found.map(|Path(id)| Self(id)).map_err(|_| {
            let path = bounded(parts.uri.path(), 200);
            ApiError::not_found("not_found", format!("the id in {path} is not UTF-8; nothing has such an id"))
        })
    }
}
