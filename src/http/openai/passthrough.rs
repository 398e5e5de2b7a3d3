//! Everything else of OpenAI's API: authenticated, limited, recorded, and passed through by path to
//! the provider that the request's model names, that holds the object, or that is the default.

mod bound;
pub mod choose;
mod incoming;
pub mod objects;
mod upload;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use weir_wire::tap::Flavor;
use weir_wire::usage::Usage;

use super::{endpoints, kept};
use crate::dispatch::forward::Forward;
use crate::dispatch::patience::Patience;
use crate::dispatch::{Reply, ReplyBody, fault};
use crate::error::ApiError;
use crate::flight::{Caller, Flight};
use crate::http::generate::{deadline, respond, take_tokens, upstream_headers};
use crate::http::layers::only;
use crate::record::Status;
use crate::snapshot::Target;
use crate::state::Gateway;
use incoming::Incoming;

/// What the API's methods are. Others are not passed on: a provider that answers TRACE would show
/// the client its credential, and what an answer to CONNECT carries is not HTTP.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Serves any method and path below `/v1` that is not Weir's own.
///
/// # Errors
/// What is wrong with the request, or the provider's failure.
pub async fn serve(gateway: &Gateway, flight: &Arc<Flight>, request: Request) -> Result<Response, ApiError> {
    let path = checked_path(request.uri())?;
    if !METHODS.contains(request.method()) {
        return Ok(only(&request, "GET,POST,PUT,PATCH,DELETE"));
    }
    if request.headers().contains_key(header::UPGRADE) {
        let message = "WebSocket upgrades are not supported by this gateway; use the HTTP endpoints";
        return Err(ApiError::invalid("unsupported_operation", message));
    }
    let caller =
        flight.draft().caller.clone().ok_or_else(|| ApiError::unauthorized("missing_api_key", "no API key"))?;
    let ask = Ask { method: request.method().clone(), path, query: request.uri().query().map(ToOwned::to_owned) };
    let (head, body) = request.into_parts();
    let incoming = incoming::read(gateway, flight, &ask, &head.headers, body).await?;
    note(flight, &incoming);
    let held = objects::check(gateway, &caller, objects::named(&ask, &incoming)).await?;
    if held.as_deref() == Some(kept::KEEPER) && ask.endpoint() == "responses" {
        let answered = kept::serve(gateway, &caller, &ask.method, &ask.path).await;
        return answered.inspect(|_| flight.conclude(Status::Ok));
    }
    let target = choose::target(gateway, &caller, &ask, &incoming, held.as_deref())?;
    if incoming.unseen && !ask.takes_opaque() {
        return Err(opaque(ask.endpoint()));
    }
    if ask.spends() {
        take_tokens(flight, incoming.estimate()).await?;
    }
    let forward = forward(gateway, flight, ask.clone(), head.headers, incoming, target)?;
    let provider = Arc::clone(&forward.target.provider.id);
    let reply = gateway.dispatcher.forward(forward).await?;
    let reply = settle_objects(gateway, &caller, &ask, &provider, reply).await?;
    Ok(respond(reply))
}

/// What is asked for, apart from the body.
#[derive(Clone, Debug)]
struct Ask {
    method: Method,
    /// Below `/v1`, with a leading slash, as the client wrote it.
    path: String,
    query: Option<String>,
}

impl Ask {
    fn endpoint(&self) -> &'static str {
        endpoints::name_of(self.path.trim_start_matches('/'))
    }

    /// Whether a body may be neither JSON nor a form. Elsewhere a provider might read it as JSON all
    /// the same, with a model and objects in it that Weir has not seen.
    fn takes_opaque(&self) -> bool {
        const ENDPOINTS: [&str; 5] = ["realtime", "live", "files", "uploads", "containers"];
        ENDPOINTS.contains(&self.endpoint())
    }

    /// Whether a good answer costs something: what makes a model work.
    fn spends(&self) -> bool {
        const ENDPOINTS: [&str; 11] = [
            "responses",
            "images/generations",
            "images/edits",
            "images/variations",
            "audio/speech",
            "audio/transcriptions",
            "audio/translations",
            "videos",
            "moderations",
            "decisions",
            "chat/completions",
        ];
        self.method == Method::POST && ENDPOINTS.contains(&self.endpoint())
    }
}

fn opaque(endpoint: &str) -> ApiError {
    let message = format!(
        "{endpoint} takes JSON or a form; send 'content-type: application/json' (or multipart/form-data) with the body"
    );
    let status = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    ApiError { status, ..ApiError::invalid("unsupported_content_type", message).param("content-type").no_retry() }
}

/// The path below `/v1`. What could leave the provider's base URL, or mean something else to the
/// provider than to Weir, is no path here.
fn checked_path(uri: &Uri) -> Result<String, ApiError> {
    let unknown = || {
        ApiError::not_found(
            "unknown_path",
            format!("there is nothing at {}; see /docs", crate::flight::bounded(uri.path(), 200)),
        )
    };
    let path = uri.path().strip_prefix("/v1").ok_or_else(unknown)?;
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| unknown())?;
    let dotted = decoded.split(['/', '\\']).any(|segment| segment == "." || segment == "..");
    // With a slash at its end a path would miss its own handler, and the metering there.
    let odd =
        path.ends_with('/') || path.contains("//") || decoded.contains('\\') || decoded.chars().any(char::is_control);
    if dotted || odd || endpoints::name_of(path.trim_start_matches('/')) == "other" {
        return Err(unknown());
    }
    Ok(path.to_owned())
}

fn note(flight: &Flight, incoming: &Incoming) {
    let mut draft = flight.draft();
    draft.model.clone_from(&incoming.model);
    draft.stream = incoming.stream;
    draft.end_user.clone_from(&incoming.user);
    draft.usage = incoming.characters.map(|characters| Usage { characters, ..Usage::default() });
}

fn forward(
    gateway: &Gateway,
    flight: &Arc<Flight>,
    ask: Ask,
    client: HeaderMap,
    incoming: Incoming,
    target: Arc<Target>,
) -> Result<Forward, ApiError> {
    let (deadline, patience) = (deadline(gateway, flight, &client)?, Patience::asked(&client)?);
    let fault = fault::asked(&client)?;
    fault::check(fault.as_ref(), std::iter::once(&target))?;
    let bound = bound::of(&ask, &incoming, &client, &target);
    let mut headers = upstream_headers(flight, client);
    if incoming.decoded {
        headers.remove(header::CONTENT_ENCODING);
    }
    let (spends, flavor) = (ask.spends(), flavor(ask.endpoint()));
    let prompt = incoming.prompt.clone();
    let query = choose::query_for(ask.query.as_deref(), &target);
    let body = incoming.into_body(&target.model)?;
    Ok(Forward {
        method: ask.method,
        path: ask.path,
        query,
        headers,
        body,
        target,
        flavor,
        prompt,
        spends,
        bound,
        fault,
        flight: Arc::clone(flight),
        deadline,
        patience,
    })
}

fn flavor(endpoint: &str) -> Flavor {
    match endpoint {
        "responses" => Flavor::Responses,
        "chat/completions" => Flavor::Chat,
        "completions" => Flavor::Completions,
        _ => Flavor::Other,
    }
}

/// Remembers what was created, forgets what was deleted, and takes other keys' objects out of lists.
async fn settle_objects(
    gateway: &Gateway,
    caller: &Caller,
    ask: &Ask,
    provider: &str,
    reply: Reply,
) -> Result<Reply, ApiError> {
    let (streamed, whole) = match &reply.body {
        ReplyBody::Stream(stream) => (stream.object_id(), None),
        ReplyBody::Whole(whole) => (None, whole.peek()),
        ReplyBody::Raw(_) => (None, None),
    };
    if let Some(id) = streamed {
        objects::own(gateway, caller, provider, &id, ask.endpoint()).await?;
    }
    let Some(bytes) = whole else { return Ok(reply) };
    let shown: Option<Bytes> = match ask.method {
        Method::GET => objects::filter_list(gateway, caller, provider, &bytes).await?,
        Method::DELETE => {
            objects::forget(gateway, ask, provider).await;
            None
        }
        _ => {
            objects::remember(gateway, caller, ask, provider, &bytes).await?;
            None
        }
    };
    Ok(match (shown, reply) {
        (Some(shown), Reply { status, headers, body: ReplyBody::Whole(whole), native }) => {
            Reply { status, headers, body: ReplyBody::Whole(whole.replaced(shown)), native }
        }
        (_, reply) => reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_pass() {
        for path in ["/v1/files/file-1/content", "/v1/fine_tuning/jobs/ftjob-1", "/v1/models/ft:gpt%2F1"] {
            let expected = path.strip_prefix("/v1").unwrap();
            assert_eq!(checked_path(&path.parse().unwrap()).unwrap(), expected);
        }
        for path in [
            "/v1/files/../admin",
            "/v1/files/%2e%2e/admin",
            "/v1/files/..%2fadmin",
            "/v1/files//x",
            "/v1/completions/",
            "/v1/files/a%5c..%5cb",
            "/v1/files/%0d%0aX",
            "/v1/nothing",
            "/v1/",
            "/v1",
        ] {
            assert_eq!(checked_path(&path.parse().unwrap()).unwrap_err().code(), "unknown_path", "{path}");
        }
    }
}
