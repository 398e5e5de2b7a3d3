//! A request as its target gets it: the caller's own bytes with a few changes where both speak one
//! dialect, else what the hub makes of them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use memchr::memmem;
use weir_wire::gemini::{self, Framing};
use weir_wire::hub::{self, Dialect};
use weir_wire::json::Span;
use weir_wire::openai_responses::{self, State};
use weir_wire::request::{Change, Peek, Shape};
use weir_wire::rules::UsageRules;
use weir_wire::translate::{self, Inbound};

use super::attempt::{Lease, time_left};
use super::outcome::Blame;
use super::translation::Translation;
use super::{Failed, Job, Next};
use crate::catalog::Quirk;
use crate::error::ApiError;
use crate::snapshot::talk::{Path, Talk};
use crate::snapshot::{Operation, ProviderDef, Target};
use crate::upstream::{Call, CallBody};

/// How signatures and encrypted thoughts begin with which Weir carries other makers' seals through a
/// caller (Anthropic's, Responses', Gemini's in base64). No provider takes them: a body that holds one is
/// read and written anew.
const FOREIGN_SEALS: [&[u8]; 3] = [b"\"weir:", b"\"weir1.", b"\"d2Vpcj"];

/// A call, and what its answer's reader must know.
#[derive(Debug)]
pub struct Prepared {
    /// The call.
    pub call: Call,
    /// Whether `include_usage` was added on the caller's behalf.
    pub usage_added: bool,
    /// The dialect of the answer.
    pub dialect: Dialect,
    /// How the answer tells its usage.
    pub usage: Arc<UsageRules>,
    /// How the answer becomes the caller's.
    pub translation: Option<Box<Translation>>,
}

/// What the upstream gets.
struct Outgoing {
    pieces: VecDeque<Bytes>,
    /// What it is not told, in words.
    lost: Vec<String>,
    usage_added: bool,
    translation: Option<Box<Translation>>,
}

/// Prepares the call of one try.
///
/// # Errors
/// When the target cannot be asked this, or (strict) not all of it.
pub(super) fn prepare(job: &Job, target: &Arc<Target>, lease: &Lease) -> Result<Prepared, Failed> {
    let provider = &target.provider;
    let way = way(job, target).ok_or_else(|| unsupported(job, provider))?;
    let (dialect, path, usage) = way.parts(job, provider);
    let outgoing = match &way {
        Way::Translate(talk) => translated(job, target, talk, path)?,
        Way::Pass(..) | Way::Talk(_) => pass(job, target, dialect, path),
    };
    if job.strict && !outgoing.lost.is_empty() {
        return Err(too_strict(target, &outgoing.lost));
    }
    for lost in outgoing.lost {
        job.flight.warn(lost);
    }
    let call = call(job, provider, lease, path.uri.clone(), outgoing.pieces, outgoing.translation.is_some());
    let usage = Arc::clone(usage);
    Ok(Prepared { call, usage_added: outgoing.usage_added, dialect, usage, translation: outgoing.translation })
}

/// A call with a JSON body; `foreign` when it is in another dialect than the caller's.
pub(super) fn call(
    job: &Job,
    provider: &ProviderDef,
    lease: &Lease,
    uri: Uri,
    body: VecDeque<Bytes>,
    foreign: bool,
) -> Call {
    Call {
        method: Method::POST,
        uri,
        headers: call_headers(job, lease, foreign),
        body: CallBody::Pieces(body),
        first_byte: time_left(
            &job.flight,
            job.deadline,
            job.patience.first_byte(provider).min(provider.timeouts.total),
        ),
        connect: job.patience.connect,
        signer: None,
    }
}

/// How a target is asked.
enum Way<'t> {
    /// In the caller's own words, at an operation that is no conversation in the hub.
    Pass(Dialect, &'t Path),
    /// In the caller's own words.
    Talk(&'t Talk),
    /// In this dialect.
    Translate(&'t Talk),
}

impl<'t> Way<'t> {
    /// The dialect of the answer, where it comes from, and how it tells its usage.
    fn parts(&self, job: &Job, provider: &'t ProviderDef) -> (Dialect, &'t Path, &'t Arc<UsageRules>) {
        match self {
            Self::Pass(dialect, path) => (*dialect, path, &provider.usage),
            Self::Talk(talk) | Self::Translate(talk) => (talk.dialect, path_of(job, talk), &talk.usage),
        }
    }
}

fn path_of<'t>(job: &Job, talk: &'t Talk) -> &'t Path {
    if job.peek.stream { &talk.paths.stream } else { &talk.paths.whole }
}

fn way<'t>(job: &Job, target: &'t Target) -> Option<Way<'t>> {
    let pass = |path| Way::Pass(Dialect::OpenAiChat, path);
    let own = match job.operation {
        Operation::Completions => target.completions.as_ref().map(pass),
        Operation::Embeddings => return target.embeds.as_ref().map(|embeds| pass(&embeds.path)),
        Operation::Rerank => return target.reranks.as_ref().map(|reranks| pass(&reranks.path)),
        operation => native(job, target, operation.inbound()?.dialect()).map(Way::Talk),
    };
    own.or_else(|| target.talks.first().map(Way::Translate))
}

/// The target's way to talk in the caller's dialect, unless the body needs to be written anew.
fn native<'t>(job: &Job, target: &'t Target, dialect: Dialect) -> Option<&'t Talk> {
    let talk = target.talks.iter().find(|talk| talk.dialect == dialect)?;
    let array = dialect == Dialect::Gemini && job.peek.stream && job.framing == Framing::Array;
    let sealed = matches!(dialect, Dialect::Anthropic | Dialect::OpenAiResponses | Dialect::Gemini)
        && FOREIGN_SEALS.iter().any(|seal| memmem::find(&job.body, seal).is_some());
    (!array && !sealed && job.earlier.is_none()).then_some(talk)
}

fn unsupported(job: &Job, provider: &ProviderDef) -> Failed {
    let message = format!("provider {} does not serve {}", provider.id, job.operation.endpoint());
    Failed { error: ApiError::invalid("unsupported_operation", message), next: Next::OtherTarget, blame: Blame::Nobody }
}

pub(super) fn too_strict(target: &Target, lost: &[String]) -> Failed {
    let message = format!(
        "{} cannot be told all of this request, and x-weir-strict allows nothing to be left out: {}",
        target.name,
        lost.join("; ")
    );
    Failed { error: ApiError::invalid("unsupported_parameter", message), next: Next::OtherTarget, blame: Blame::Nobody }
}

/// The caller's bytes with the target's model and what its provider wants changed.
fn pass(job: &Job, target: &Target, dialect: Dialect, path: &Path) -> Outgoing {
    let provider = &target.provider;
    let mut lost = Vec::new();
    let usage_added = adds_usage(job, provider);
    let mut remove = refused_fields(job, provider, &mut lost);
    let names = refused_names(job, provider, &mut lost);
    let model = Some(&*target.model).filter(|model| in_body(dialect, path) && !model.is_empty());
    if !in_body(dialect, path) {
        remove.push("model");
    }
    let change = Change {
        model,
        include_usage: usage_added,
        strip_extensions: true,
        rename: &renames(job, provider),
        remove: &remove,
        wrap: (job.operation == Operation::Chat && provider.has(Quirk::StopAsArray)).then_some("stop"),
        set: &job.members(target, dialect),
        cut: &names,
    };
    let pieces = job.peek.rewrite(&job.body, &change).parts().iter().cloned().collect();
    Outgoing { pieces, lost, usage_added, translation: None }
}

/// Whether the model stands in the body. Anthropic's does not where the path has it (Vertex AI);
/// Azure's deployments may have it in both.
fn in_body(dialect: Dialect, path: &Path) -> bool {
    match dialect {
        Dialect::Gemini | Dialect::Bedrock => false,
        Dialect::Anthropic => !path.names_model,
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Cohere | Dialect::Ollama => true,
    }
}

/// The request in another dialect.
fn translated(job: &Job, target: &Target, talk: &Talk, path: &Path) -> Result<Outgoing, Failed> {
    if target.model.is_empty() {
        let message = format!("provider {} keeps no prompts: name a model", target.provider.id);
        let error = ApiError::invalid("missing_required_parameter", message).param("model");
        return Err(Failed { error, next: Next::Stop, blame: Blame::Nobody });
    }
    let request = job.hub().map_err(|error| Failed { error, next: Next::Stop, blame: Blame::Nobody })?;
    let caller = job.operation.inbound().map_or(Dialect::OpenAiChat, Inbound::dialect);
    let to = hub::Target { model: &target.model, capabilities: &target.capabilities, caller };
    let encoded = translate::encode_request(talk.dialect, &asked(request, target, talk.dialect), &to);
    let encoded = encoded.map_err(|error| unsayable(target, &error))?;
    let lost = encoded.losses.iter().map(|loss| format!("{}: {loss}", target.name)).collect();
    let members = job.members(target, talk.dialect);
    let body = finished(encoded.body.into(), &members, talk.dialect, path);
    let translation = Translation::new(job, target, talk.dialect, request);
    Ok(Outgoing { pieces: body, lost, usage_added: false, translation: Some(Box::new(translation)) })
}

/// What a target is asked beside what the caller said: a stream's usage, whether or not the caller wants
/// to see it. That nothing be stored need not be told to those who do not.
fn asked<'r>(request: &'r hub::Request, target: &Target, dialect: Dialect) -> Cow<'r, hub::Request> {
    let openai = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    let params = &request.params;
    let usage = params.stream == Some(true)
        && params.stream_usage != Some(true)
        && dialect == Dialect::OpenAiChat
        && target.capabilities.stream_options;
    let stores = params.store == Some(false) && !openai;
    if !usage && !stores {
        return Cow::Borrowed(request);
    }
    let mut asked = request.clone();
    if usage {
        asked.params.stream_usage = Some(true);
    }
    if stores {
        asked.params.store = None;
    }
    Cow::Owned(asked)
}

/// What the target cannot be told and what must not be left out.
pub(super) fn unsayable(target: &Target, error: &hub::EncodeError) -> Failed {
    let error = ApiError::invalid("unsupported_parameter", format!("{}: {}", target.name, error.why))
        .param(error.field.clone());
    Failed { error, next: Next::OtherTarget, blame: Blame::Nobody }
}

/// A body with the members that its provider wants beside the dialect's own.
pub(super) fn finished(body: Bytes, set: &[(String, String)], dialect: Dialect, path: &Path) -> VecDeque<Bytes> {
    let model_out = dialect == Dialect::Anthropic && path.names_model;
    changed(body, if model_out { &["model"] } else { &[] }, set)
}

/// A body that a codec wrote, without these members and with those.
pub(super) fn changed(body: Bytes, remove: &[&str], set: &[(String, String)]) -> VecDeque<Bytes> {
    if set.is_empty() && remove.is_empty() {
        return VecDeque::from([body]);
    }
    match Peek::read(&body, Shape::Other) {
        Ok(peek) => {
            let change = Change { remove, set, ..Change::default() };
            peek.rewrite(&body, &change).parts().iter().cloned().collect()
        }
        // What a codec writes is one JSON object.
        Err(_) => VecDeque::from([body]),
    }
}

/// Streams are asked for their usage even when the client did not ask, unless the provider would
/// refuse the option.
fn adds_usage(job: &Job, provider: &ProviderDef) -> bool {
    job.peek.stream
        && matches!(job.operation, Operation::Chat | Operation::Completions)
        && !job.peek.include_usage
        && !provider.has(Quirk::NoStreamOptions)
}

/// Parameters under the names that the provider knows.
fn renames(job: &Job, provider: &ProviderDef) -> Vec<(&'static str, &'static str)> {
    let mut renames = Vec::new();
    let newer = job.peek.max_completion_tokens.is_some() && job.peek.max_tokens.is_none();
    if job.operation == Operation::Chat && newer && provider.has(Quirk::RenameMaxCompletionTokens) {
        renames.push(("max_completion_tokens", "max_tokens"));
    }
    if matches!(job.operation, Operation::Chat | Operation::Completions) && provider.has(Quirk::RenameSeed) {
        renames.push(("seed", "random_seed"));
    }
    renames
}

/// The messages' `name`s, where the provider refuses them.
fn refused_names(job: &Job, provider: &ProviderDef, lost: &mut Vec<String>) -> Vec<Span> {
    if job.operation != Operation::Chat || !provider.has(Quirk::NoMessageName) {
        return Vec::new();
    }
    let names = job.peek.message_names(&job.body);
    if !names.is_empty() {
        lost.push(format!("provider {} does not support messages[].name: left out", provider.id));
    }
    names
}

/// The fields of the body that the provider would refuse.
pub(super) fn refused_fields<'p>(job: &Job, provider: &'p ProviderDef, lost: &mut Vec<String>) -> Vec<&'p str> {
    let refused: Vec<&str> =
        provider.unsupported.iter().map(String::as_str).filter(|field| job.peek.has_member(&job.body, field)).collect();
    if !refused.is_empty() {
        let list = refused.join(", ");
        lost.push(format!("provider {} does not support {list}: left out", provider.id));
    }
    refused
}

/// The client's headers, the provider's own, and its credential.
fn call_headers(job: &Job, lease: &Lease, translated: bool) -> HeaderMap {
    let mut headers = job.headers.clone();
    if translated {
        drop_dialect_headers(job, &mut headers);
    }
    headers.remove(header::CONTENT_ENCODING);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Metering reads the answer, and a stream must not wait for a compressor's block to fill.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    lease.add_headers(&mut headers);
    headers
}

/// Headers that mean something in the caller's dialect alone do not go to another's provider.
fn drop_dialect_headers(job: &Job, headers: &mut HeaderMap) {
    const PREFIXES: [&str; 4] = ["openai-", "anthropic-", "x-goog-", "x-stainless-"];
    // What switches features on is told; the others say who the client is.
    const TOLD: [&str; 2] = ["anthropic-beta", "openai-beta"];
    let foreign = |name: &&HeaderName| PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
    let names: Vec<HeaderName> = headers.keys().filter(foreign).cloned().collect();
    for name in names {
        headers.remove(&name);
        if TOLD.contains(&name.as_str()) {
            job.flight.warn(format!("header {name} dropped: it is for its own API"));
        }
    }
    headers.remove(header::ACCEPT);
}

impl Job {
    /// Anthropic's clients send thoughts back only to the model that they came from, which they tell by
    /// its name: it must be the one that they asked for.
    pub(super) fn model_as(&self, target: &Target) -> Option<String> {
        let asked = self.peek.model.as_ref().filter(|asked| ***asked != *target.model);
        asked.filter(|_| self.operation == Operation::Messages).cloned()
    }

    /// The body, read.
    ///
    /// # Errors
    /// What of it cannot be understood.
    pub fn hub(&self) -> Result<&hub::Request, ApiError> {
        (**self.hub.get_or_init(|| Box::new(self.decode()))).as_ref().map_err(Clone::clone)
    }

    fn decode(&self) -> Result<hub::Request, ApiError> {
        let inbound = self.operation.inbound().ok_or_else(|| {
            ApiError::invalid("unsupported_operation", "this request has no conversation that could be translated")
        })?;
        let read = match inbound {
            Inbound::Gemini if self.counts => gemini::decode_count(&self.body),
            _ => inbound.decode_request(&self.body),
        };
        let mut request = read.map_err(unreadable)?;
        request.params.stream = Some(self.peek.stream);
        self.put_earlier(&mut request)?;
        request.link_results(&mut hub::Ids::new(self.seed));
        Ok(request)
    }

    /// Puts what a response refers to in its place: the provider does not have it.
    fn put_earlier(&self, request: &mut hub::Request) -> Result<(), ApiError> {
        match (openai_responses::take_state(request), &self.earlier) {
            (None, _) => Ok(()),
            (Some(_), Some(earlier)) => {
                openai_responses::continue_from(request, earlier.turns.clone());
                Ok(())
            }
            (Some(State::Answer(id)), None) => Err(no_earlier("previous_response_id", &id)),
            (Some(State::Conversation(id)), None) => Err(no_earlier("conversation", &id)),
        }
    }
}

fn no_earlier(field: &'static str, id: &str) -> ApiError {
    let id = crate::flight::bounded(id, 128);
    let message = format!(
        "'{id}' is not kept here, and this model's provider keeps no conversations; send the earlier turns in input"
    );
    ApiError::invalid("previous_response_not_found", message).param(field)
}

/// A body that is not in its form.
pub(super) fn unreadable(error: hub::DecodeError) -> ApiError {
    let api = ApiError::invalid("invalid_value", error.to_string());
    if error.field.is_empty() { api } else { api.param(error.field) }
}
