//! The models that a caller may use, in the dialect in which it asks: OpenAI's, or Anthropic's or
//! Gemini's as [`Voice::of`] tells.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Method};
use weir_wire::translate::Inbound;

use super::auth::{Identity, identify};
use super::error::Voice;
use super::generate::{json, unknown_model};
use super::layers::{self, Endpoint};
use super::path::Id;
use super::{anthropic, gemini, openai};
use crate::catalog::Mode;
use crate::error::ApiError;
use crate::snapshot::{Route, Snapshot, Target};
use crate::state::{Gateway, Shared};

/// The demo's model that can be talked to; of its others no row of the model table says that they cannot.
const DEMO_CHAT: &str = "chat";

/// `GET /v1/models`, `GET /v1beta/models`: 401 without a key, 400 for a page that cannot be.
pub async fn list(State(gateway): State<Shared>, request: Request) -> Response {
    let voice = Voice::of(&request);
    let id = layers::id_of(&request);
    let listed = page(&gateway, request.headers(), request.uri().query(), voice.form).await;
    listed.map_or_else(|error| voice.say(error, &id), json)
}

async fn page(gateway: &Gateway, headers: &HeaderMap, query: Option<&str>, form: Inbound) -> Result<String, ApiError> {
    let who = identify(gateway, headers).await?;
    let snapshot = gateway.snapshot.load();
    let names = snapshot.known_names().into_iter().filter(|name| may_use(&who, name));
    let routes: Vec<Arc<Route>> = names.filter_map(|name| snapshot.resolve(&name).ok()).collect();
    let talked =
        || routes.iter().filter(|route| is_talked_to(&route.targets[0])).map(AsRef::as_ref).collect::<Vec<_>>();
    Ok(match form {
        Inbound::Anthropic => anthropic::models::page(&talked(), query)?,
        Inbound::Gemini => gemini::models::page(&talked(), query)?,
        _ => openai::models::list(gateway, &routes),
    }
    .to_string())
}

/// `GET /v1/models/{id}`, `GET /v1beta/models/{id}`: the id may contain slashes. A name that only the
/// default provider can know is asked of it, for callers of OpenAI's dialect. 401 without a key, 404
/// for a model that does not exist or that the key may not use.
pub async fn show(State(gateway): State<Shared>, id: Result<Id, ApiError>, request: Request) -> Response {
    let voice = Voice::of(&request);
    let request_id = layers::id_of(&request);
    let found = match id {
        Ok(Id(id)) => find(&gateway, request.headers(), &id, voice.form).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(Some(model)) => json(model),
        Ok(None) => openai::models::forward(gateway, request).await,
        Err(error) => voice.say(error, &request_id),
    }
}

/// The model; `None` where the default provider is to be asked.
async fn find(gateway: &Gateway, headers: &HeaderMap, id: &str, form: Inbound) -> Result<Option<String>, ApiError> {
    let who = identify(gateway, headers).await?;
    let snapshot = gateway.snapshot.load();
    let id = if form == Inbound::Gemini { id.strip_prefix("models/").unwrap_or(id) } else { id };
    let known = snapshot.resolve(id).ok().filter(|route| may_use(&who, id) && is_listed(&snapshot, route));
    match (known, form) {
        (Some(route), Inbound::Anthropic) if is_talked_to(&route.targets[0]) => {
            Ok(Some(anthropic::models::describe(&route).to_string()))
        }
        (Some(route), Inbound::Gemini) if is_talked_to(&route.targets[0]) => {
            Ok(Some(gemini::models::describe(&route).to_string()))
        }
        (_, Inbound::Anthropic | Inbound::Gemini) => Err(unknown(&snapshot, id)),
        (Some(route), _) => Ok(Some(openai::models::describe(gateway, &route).to_string())),
        (None, _) if matches!(who, Identity::Key(_)) && snapshot.may_be_the_defaults(id) && may_use(&who, id) => {
            Ok(None)
        }
        (None, _) => Err(unknown(&snapshot, id)),
    }
}

fn unknown(snapshot: &Snapshot, id: &str) -> ApiError {
    unknown_model(id, &snapshot.resolve(id).err().map(|unknown| unknown.nearest).unwrap_or_default())
}

/// Other methods: Gemini's actions, whose clients may say `v1` too; `DELETE` and the like belong to the
/// provider.
pub async fn other(State(gateway): State<Shared>, request: Request) -> Response {
    if request.method() == Method::POST && gemini::action(request.uri().path()).is_some() {
        return layers::data(gateway, request, Endpoint::Gemini).await;
    }
    openai::models::forward(gateway, request).await
}

fn may_use(who: &Identity, name: &str) -> bool {
    match who {
        Identity::Admin => true,
        Identity::Key(caller) => caller.key.rights.allows(name),
    }
}

/// Whether Weir itself knows the model, as opposed to passing its name on.
fn is_listed(snapshot: &Snapshot, route: &Route) -> bool {
    let target = &route.targets[0];
    route.configured || target.info.is_some() || target.provider.demo || snapshot.default_provider.is_none()
}

/// Whether there is a conversation to be had with it: all that Anthropic's and Gemini's dialects have here.
fn is_talked_to(target: &Target) -> bool {
    let by_kind = match &target.info {
        Some(info) => matches!(info.mode, Mode::Chat | Mode::Completion),
        None => !target.provider.demo || &*target.model == DEMO_CHAT,
    };
    by_kind && !target.talks.is_empty()
}
