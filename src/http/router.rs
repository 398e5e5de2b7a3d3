//! Every route on one page. `GET /openapi.json` describes the same table (`docs.rs`, checked by a
//! test).

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use super::admin::budgets;
use super::error::Voice;
use super::layers::{self, Endpoint};
use super::{admin, docs, error, generate, health, metrics, models, openai};
use crate::error::ApiError;
use crate::snapshot::Operation;
use crate::state::Shared;

/// The gateway's router: data plane, admin plane, operations.
pub fn router(gateway: &Shared) -> Router {
    // Beside what the data plane serves at the same paths; its layers are for these alone.
    let model = || {
        get(models::show)
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(Arc::clone(gateway), layers::common_headers))
    };
    let data = Router::new()
        .route("/v1/chat/completions", data_plane(Endpoint::GenerateOrPass(Operation::Chat)))
        .route("/v1/completions", data_plane(Endpoint::Generate(Operation::Completions)))
        .route("/v1/embeddings", data_plane(Endpoint::Generate(Operation::Embeddings)))
        .route("/v1/responses", data_plane(Endpoint::GenerateOrPass(Operation::Responses)))
        .route("/v1/responses/input_tokens", data_plane(Endpoint::InputTokens))
        .route("/v1/estimate", data_plane(Endpoint::Estimate))
        .route("/v1/rerank", data_plane(Endpoint::Generate(Operation::Rerank)))
        .route("/v2/rerank", data_plane(Endpoint::Generate(Operation::Rerank)))
        .route("/v1/messages", data_plane(Endpoint::Generate(Operation::Messages)))
        .route("/v1/messages/count_tokens", data_plane(Endpoint::CountTokens))
        .route("/v1beta/models/{*action}", data_plane(Endpoint::Gemini).merge(model()))
        .route("/v1/models/{*id}", any(models::other).merge(model()))
        .route("/v1beta/{*action}", data_plane(Endpoint::Gemini))
        .route("/openai/{*path}", data_plane(Endpoint::Azure))
        .route("/v1/{*path}", data_plane(Endpoint::Pass));
    let reads = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1beta/models", get(models::list))
        .route("/v1/usage", get(openai::usage::list))
        .route("/v1/usage/{id}", get(openai::usage::receipt::show))
        .route("/v1/usage/receipts/key", get(openai::usage::receipt::key));
    let admin = Router::new()
        .route("/admin/v1/keys", get(admin::keys::list).post(admin::keys::create))
        .route("/admin/v1/keys/{id}", get(admin::keys::show).patch(admin::keys::update).delete(admin::keys::revoke))
        .route("/admin/v1/keys/{id}/rotate", post(admin::keys::rotate))
        .route("/admin/v1/limits", get(admin::limits::list))
        .route("/admin/v1/prices", get(admin::prices::list).post(admin::prices::create))
        .route("/admin/v1/prices/rerate", post(admin::prices::rerate))
        .route("/admin/v1/prices/{id}", get(admin::prices::show).delete(admin::prices::end))
        .route("/admin/v1/budgets", get(budgets::list).post(budgets::create))
        .route("/admin/v1/budgets/{id}", get(budgets::show).patch(budgets::update).delete(budgets::delete))
        .route("/admin/v1/budgets/{id}/raise", post(budgets::raise))
        .route("/admin/v1/config", get(admin::config::show))
        .route("/admin/v1/config/reload", post(admin::config::reload))
        .route("/admin/v1/config/rollback", post(admin::config::rollback))
        .route("/admin/v1/config/versions", get(admin::config::versions))
        .route("/admin/v1/config/versions/{id}", get(admin::config::version))
        .route("/admin/v1/config/versions/{id}/diff", get(admin::config::diff))
        .route("/admin/v1/usage", get(openai::usage::admin))
        .route("/admin/v1/costs", get(admin::costs::show))
        .route("/admin/v1/recommendations", get(admin::recommendations::list))
        .route("/admin/v1/reports", get(admin::reports::list))
        .route("/admin/v1/invoices", get(admin::invoices::list).post(admin::invoices::import))
        .route("/admin/v1/invoices/{id}", delete(admin::invoices::remove))
        .route("/admin/v1/invoices/{id}/difference", get(admin::invoices::difference))
        .route("/admin/v1/providers", get(admin::providers::list))
        .route("/admin/v1/routes/explain", post(generate::explain::serve))
        .route("/admin/v1/shadows", get(admin::shadows::list))
        .route("/admin/v1/shadows/summary", get(admin::shadows::summary))
        .route("/admin/v1/reconcile", get(admin::reconcile::show))
        .route("/admin/v1/alerts", get(admin::alerts::list))
        .route("/admin/v1/alerts/events", get(admin::alerts::events))
        .route("/admin/v1/alerts/dead", get(admin::alerts::dead))
        .route("/admin/v1/alerts/dead/{id}/replay", post(admin::alerts::replay_one))
        .route("/admin/v1/alerts/replay", post(admin::alerts::replay))
        .route("/admin/v1/alerts/{name}/test", post(admin::alerts::test))
        .layer(from_fn_with_state(Arc::clone(gateway), admin::require_admin));
    let mut ops = health().route("/openapi.json", get(docs::openapi)).route("/docs", get(docs::page));
    if gateway.config.load().server.metrics_listen.is_none() {
        ops = ops.route("/metrics", get(metrics::metrics));
    }
    let rest = Router::new()
        .merge(reads)
        .merge(admin)
        .merge(ops)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(gateway), layers::common_headers));
    data.merge(rest).with_state(Arc::clone(gateway))
}

/// Any method: the onion says which are wrong, and records that.
fn data_plane(endpoint: Endpoint) -> MethodRouter<Shared> {
    any(move |State(gateway): State<Shared>, request: Request| layers::data(gateway, request, endpoint))
}

fn health() -> Router<Shared> {
    Router::new()
        .route("/health", get(health::alive))
        .route("/health/ready", get(health::ready))
        .route("/health/details", get(health::details))
}

/// The router of connections that come while the gateway drains: health and metrics say how it is,
/// everything else is told to go elsewhere.
pub fn stopping_router(gateway: &Shared) -> Router {
    let mut router = health();
    if gateway.config.load().server.metrics_listen.is_none() {
        router = router.route("/metrics", get(metrics::metrics));
    }
    router
        .fallback(stopping)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(gateway), layers::common_headers))
        .with_state(Arc::clone(gateway))
}

/// The router of `server.metrics_listen`: health, and the metrics, which are then only there.
pub fn operations_router(gateway: &Shared) -> Router {
    health()
        .route("/metrics", get(metrics::metrics))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(gateway), layers::common_headers))
        .with_state(Arc::clone(gateway))
}

async fn nothing_here(request: Request) -> Response {
    let path = crate::flight::bounded(request.uri().path(), 200);
    let error = ApiError::not_found("unknown_path", format!("there is nothing at {path}; see /docs"));
    Voice::of(&request).say(error, &layers::id_of(&request))
}

/// It came after the stop began: another replica, or this one after its restart, will serve it.
async fn stopping(State(gateway): State<Shared>) -> ApiError {
    gateway.meter.metrics.shed.with_label_values(&["stopping"]).inc();
    ApiError::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        "server_error",
        "gateway_stopping",
        "the gateway is stopping and takes no new requests; try again",
    )
    .after(Duration::from_secs(1))
}

async fn wrong_method(request: Request) -> Response {
    let error = error::wrong_method(request.method(), request.uri().path());
    Voice::of(&request).say(error, &layers::id_of(&request))
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    layers::panicked(&*panic).into_response()
}
