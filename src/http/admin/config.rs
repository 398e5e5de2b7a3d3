//! `/admin/v1/config`: the configuration in force, other ones, and those before it.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::keys::{page_size, parse_body};
use crate::admin::keys::store_error;
use crate::config::{Fault, Format, diff_documents};
use crate::error::ApiError;
use crate::http::body::{self, BodyLimits};
use crate::http::path::Id;
use crate::http::query::Params;
use crate::record::rfc3339;
use crate::state::{Gateway, InForce, NotReloaded, Origin, Reloaded, Shared, Wanted};
use crate::store::configs::{self, MAX_DOCUMENT, Version};

/// The longest note, in characters.
const MAX_NOTE: usize = 500;

/// The body of a reload.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadBody {
    /// Where to read it from; without it, from where the one in force comes.
    source: Option<Source>,
    /// The configuration itself: its text, or the same as JSON.
    config: Option<Value>,
    /// How the text is written.
    #[serde(default)]
    format: Written,
    note: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    File,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    #[default]
    Yaml,
    Toml,
}

/// The body of a rollback.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    version: i64,
    note: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// `GET /admin/v1/config`
pub async fn show(State(gateway): State<Shared>) -> Json<Value> {
    let (config, in_force) = (gateway.config.load_full(), gateway.configs.in_force());
    let files: Vec<String> = config.files.iter().map(|file| file.display().to_string()).collect();
    Json(json!({
        "object": "config",
        "source": in_force.origin.as_str(),
        "version": in_force.version,
        "in_force_since": rfc3339(in_force.since),
        "files": files,
        "config": &*config,
        "document": config.document.shown(),
        "needs_restart": in_force.needs_restart,
        "left_to_file": in_force.left_to_file,
        "refused": refused(&in_force),
    }))
}

fn refused(in_force: &InForce) -> Option<Value> {
    let refused = in_force.refused.as_ref()?;
    Some(json!({"at": rfc3339(refused.at), "by": refused.by, "faults": refused.faults}))
}

/// `POST /admin/v1/config/reload`
///
/// # Errors
/// 422 with every fault of a configuration that is refused, 400 for a bad body, 503 without the database where
/// it is to keep the configuration.
pub async fn reload(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let body = reload_body(&gateway, request).await?;
    let wanted = match (body.source, body.config) {
        (Some(Source::File), Some(_)) => {
            let message = "config and source exclude each other: give a configuration, or say where to read one";
            return Err(ApiError::invalid("invalid_value", message).param("source"));
        }
        (Some(Source::File), None) => Wanted::File,
        (None, None) => Wanted::Again,
        (None, Some(Value::String(text))) => Wanted::Text { text, format: body.format.into() },
        (None, Some(config @ Value::Object(_))) => Wanted::Text { text: format!("{config:#}"), format: Format::Yaml },
        (None, Some(_)) => {
            let message = "config: expected the text of a configuration, or an object";
            return Err(ApiError::invalid("invalid_value", message).param("config"));
        }
    };
    ask(&gateway, wanted, body.note, body.dry_run).await
}

/// `POST /admin/v1/config/rollback`
///
/// # Errors
/// As [`reload`]; 404 for a version that is not kept.
pub async fn rollback(State(gateway): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let (headers, bytes) = read(&gateway, request).await?;
    drop(headers);
    let body: RollbackBody = parse_body(&bytes)?;
    ask(&gateway, Wanted::Version(body.version), body.note, body.dry_run).await
}

/// `GET /admin/v1/config/versions`
///
/// # Errors
/// 400 for a bad parameter, 503 without the database.
pub async fn versions(State(gateway): State<Shared>, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request.uri().query(), &["limit", "cursor"])?;
    let limit = page_size(&params)?;
    let not_a_cursor = || "is not a cursor: pass next_cursor of the page before, unchanged".to_owned();
    let before = params.parsed("cursor", |text| text.parse::<i64>().map_err(|_| not_a_cursor()))?;
    let mut found = configs::list(&gateway.db, before.unwrap_or(i64::MAX), limit + 1).await.map_err(store_error)?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| last.number.to_string());
    let data: Vec<Value> = found.iter().map(|version| described(&gateway, version)).collect();
    Ok(Json(json!({"object": "list", "data": data, "has_more": more, "next_cursor": next})))
}

/// `GET /admin/v1/config/versions/{number}`
///
/// # Errors
/// 404 for a version that is not kept, 503 without the database.
pub async fn version(State(gateway): State<Shared>, Id(number): Id) -> Result<Json<Value>, ApiError> {
    let version = find(&gateway, &number).await?;
    let mut described = described(&gateway, &version);
    described["document"] = document(&version)?;
    Ok(Json(described))
}

/// `GET /admin/v1/config/versions/{number}/diff`: to another version, or to the one in force.
///
/// # Errors
/// As [`version`].
pub async fn diff(State(gateway): State<Shared>, Id(number): Id, request: Request) -> Result<Json<Value>, ApiError> {
    let params = Params::read(request.uri().query(), &["to"])?;
    let from = find(&gateway, &number).await?;
    let (to, newer) = match params.get("to") {
        Some(to) => {
            let to = find(&gateway, to).await?;
            (Some(to.number), document(&to)?)
        }
        None => {
            let config = gateway.config.load_full();
            (gateway.configs.in_force().version, config.document.shown().clone())
        }
    };
    let changes = diff_documents(&document(&from)?, &newer);
    Ok(Json(json!({"object": "config.diff", "from": from.number, "to": to, "changes": changes})))
}

async fn find(gateway: &Gateway, number: &str) -> Result<Version, ApiError> {
    let parsed: Option<i64> = number.parse().ok();
    let found = match parsed {
        Some(number) => configs::get(&gateway.db, number).await.map_err(store_error)?,
        None => None,
    };
    found.ok_or_else(|| no_such_version(number))
}

fn no_such_version(number: &str) -> ApiError {
    let shown = crate::flight::bounded(number, 50);
    let message = format!(
        "version '{shown}' of the configuration is not kept; GET /admin/v1/config/versions lists those that are"
    );
    ApiError::not_found("not_found", message)
}

fn document(version: &Version) -> Result<Value, ApiError> {
    serde_json::from_str(&version.document).map_err(|_| {
        let message = format!("version {} of the configuration is damaged in the database", version.number);
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    })
}

fn described(gateway: &Gateway, version: &Version) -> Value {
    let in_force = gateway.configs.in_force();
    json!({
        "object": "config.version",
        "version": version.number,
        "made_at": rfc3339(version.made_at),
        "source": version.source,
        "made_by": version.made_by,
        "note": version.note,
        "hash": version.hash,
        "in_force": in_force.version == Some(version.number),
        "followed_by_all": in_force.version == Some(version.number) && in_force.origin == Origin::Database,
    })
}

async fn reload_body(gateway: &Gateway, request: Request) -> Result<ReloadBody, ApiError> {
    let (headers, bytes) = read(gateway, request).await?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match kind.rsplit(['/', '-', '+']).next() {
        Some("yaml") => Written::Yaml,
        Some("toml") => Written::Toml,
        _ if bytes.is_empty() => return Ok(ReloadBody::default()),
        _ => return parse_body(&bytes),
    };
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| ApiError::invalid("invalid_body", "the configuration in the body is not UTF-8"))?;
    Ok(ReloadBody { config: Some(text.into()), format, ..ReloadBody::default() })
}

async fn read(gateway: &Gateway, request: Request) -> Result<(HeaderMap, bytes::Bytes), ApiError> {
    let (head, content) = request.into_parts();
    let limits = BodyLimits { max: MAX_DOCUMENT as u64 * 2, ..BodyLimits::of(gateway) };
    let bytes = body::read(gateway, &head.headers, content, limits).await?;
    Ok((head.headers, bytes))
}

async fn ask(gateway: &Gateway, wanted: Wanted, note: Option<String>, dry_run: bool) -> Result<Response, ApiError> {
    if note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE) {
        return Err(ApiError::invalid("invalid_value", format!("note: at most {MAX_NOTE} characters")).param("note"));
    }
    match gateway.configs.ask_and_wait(wanted, note, dry_run).await {
        None => Err(ApiError::overloaded("too many reloads wait, or the gateway is stopping")),
        Some(Ok(done)) => Ok(Json(answer(&done)).into_response()),
        Some(Err(NotReloaded::Faults(faults))) => Ok(refusal(&faults)),
        Some(Err(NotReloaded::NoSuchVersion(number))) => Err(no_such_version(&number.to_string())),
        Some(Err(NotReloaded::Store(error))) => Err(store_error(error)),
    }
}

fn answer(done: &Reloaded) -> Value {
    json!({
        "object": "config.reload",
        "outcome": done.outcome,
        "source": done.origin.as_str(),
        "version": done.version,
        "changes": done.changes,
        "needs_restart": done.needs_restart,
        "left_to_file": done.left_to_file,
    })
}

/// 422 with everything that is wrong.
fn refusal(faults: &[Fault]) -> Response {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    let more = match faults.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let message = format!("the configuration is refused and the old one goes on serving: {first}{more}");
    let lines: Vec<Value> = faults
        .iter()
        .map(|fault| {
            let mut line = json!(fault);
            line["text"] = fault.to_string().into();
            line
        })
        .collect();
    let error = json!({
        "message": message, "type": "invalid_request_error", "param": null, "code": "invalid_config", "faults": lines,
    });
    let mut response = (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": error }))).into_response();
    response.headers_mut().insert("x-weir-error-code", http::HeaderValue::from_static("invalid_config"));
    response
}

impl From<Written> for Format {
    fn from(written: Written) -> Self {
        match written {
            Written::Yaml => Self::Yaml,
            Written::Toml => Self::Toml,
        }
    }
}
