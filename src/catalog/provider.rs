//! A provider as data: where it is, how to authenticate, what it serves, what is odd about it.
//! The same schema serves `catalog/providers/<id>.toml` and a user's own providers.

mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_wire::rules::UsageRules;

pub use validate::ProviderFault;

/// One provider.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Unique id; also the file's name.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The wire format it speaks.
    pub dialect: Dialect,
    /// `https://host/path` without a final slash; `{name}` is filled from [`Env::vars`], the config
    /// or [`Provider::defaults`]. Empty for the demo.
    #[serde(default)]
    pub base_url: String,
    /// Base URLs, as [`Provider::base_url`], of regions whose host is not made of `{region}`
    /// (`global` at Vertex AI), by the value of that placeholder.
    #[serde(default)]
    pub regions: BTreeMap<String, String>,
    /// Path that follows a base URL which has none of its own (`/v1`, `/openai/v1`), so that an
    /// endpoint variable which holds only the origin is enough.
    #[serde(default)]
    pub api_path: String,
    /// What it serves. Anything else is refused before it is sent.
    pub operations: Vec<Operation>,
    /// Deviations the code acts on.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// Top-level request fields it refuses; they are removed with a warning.
    #[serde(default)]
    pub unsupported: Vec<String>,
    /// Provider id whose rows of the model table describe this provider's models.
    #[serde(default)]
    pub models_of: Option<String>,
    /// The provider's API documentation.
    #[serde(default)]
    pub docs: Option<String>,
    /// Where these facts come from.
    pub source: String,
    /// How to authenticate.
    pub auth: Auth,
    /// Variables that enable and configure it.
    #[serde(default)]
    pub env: Env,
    /// Values of placeholders that neither the environment nor the config sets.
    #[serde(default)]
    pub defaults: BTreeMap<String, String>,
    /// Headers sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters sent with every request; values may hold placeholders.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Paths under the base URL that differ from [`Operation::path`]; `{deployment}` and `{model}` are
    /// the model.
    #[serde(default)]
    pub paths: BTreeMap<Operation, String>,
    /// Paths of streamed calls that differ from [`Operation::stream_path`].
    #[serde(default)]
    pub stream_paths: BTreeMap<Operation, String>,
    /// Members that every JSON body of this dialect's own calls gets (`anthropic_version` at Vertex).
    #[serde(default)]
    pub body: serde_json::Map<String, serde_json::Value>,
    /// How its embeddings are spoken.
    #[serde(default)]
    pub embeddings_api: EmbedApi,
    /// What it embeds at once.
    #[serde(default)]
    pub embeddings_limits: weir_wire::embed::Limits,
    /// How its reranking is spoken.
    #[serde(default)]
    pub rerank_api: RerankApi,
    /// What its models take, over the defaults of [`weir_wire::hub::Capabilities`]: its keys.
    #[serde(default)]
    pub capabilities: serde_json::Map<String, serde_json::Value>,
    /// What holds for some models only. Every rule that fits applies, in order: later over earlier.
    #[serde(default)]
    pub models: Vec<ModelRule>,
    /// Where its usage numbers deviate from OpenAI's.
    #[serde(default)]
    pub usage: UsageRules,
    /// The same of single operations, in place of [`Provider::usage`]: one that serves several
    /// dialects counts in each as its maker does.
    #[serde(default)]
    pub usage_of: BTreeMap<Operation, UsageRules>,
}

/// What holds for some models of a provider.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ModelRule {
    /// Globs of model names (`*` and `?`), without regard to case; any one must fit.
    pub models: Vec<String>,
    /// The operations that serve a conversation with these models, best first, in place of those of
    /// [`Provider::operations`]. Empty: no word about it.
    pub conversation: Vec<Operation>,
    /// As [`Provider::paths`].
    pub paths: BTreeMap<Operation, String>,
    /// As [`Provider::stream_paths`].
    pub stream_paths: BTreeMap<Operation, String>,
    /// As [`Provider::body`].
    pub body: serde_json::Map<String, serde_json::Value>,
    /// As [`Provider::embeddings_api`].
    pub embeddings_api: Option<EmbedApi>,
    /// As [`Provider::embeddings_limits`].
    pub embeddings_limits: Option<weir_wire::embed::Limits>,
    /// As [`Provider::rerank_api`].
    pub rerank_api: Option<RerankApi>,
    /// As [`Provider::capabilities`].
    pub capabilities: serde_json::Map<String, serde_json::Value>,
}

impl ModelRule {
    /// Whether it is about this model.
    #[must_use]
    pub fn fits(&self, model: &str) -> bool {
        self.models.iter().any(|glob| glob_fits(glob.as_bytes(), model.as_bytes()))
    }
}

/// `*` stands for any bytes, `?` for one; case does not matter. Linear in the product of the lengths.
fn glob_fits(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&text[t]) => {
                g += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (g, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == b'*')
}

/// The API that a provider's paths belong to.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's API.
    Openai,
    /// Anthropic's API.
    Anthropic,
    /// Gemini's API, at Google or on Vertex AI.
    Gemini,
    /// Bedrock's runtime API.
    Bedrock,
    /// Cohere's API.
    Cohere,
    /// Ollama's own API.
    Ollama,
    /// The built-in demo: no network.
    Demo,
}

/// How a provider's embeddings are spoken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum EmbedApi {
    /// OpenAI `/embeddings`.
    #[default]
    Openai,
    /// Cohere `/v2/embed`.
    Cohere,
    /// Gemini `:batchEmbedContents`.
    Gemini,
    /// Vertex AI `:predict` with `instances`.
    Vertex,
    /// Voyage `/embeddings`.
    Voyage,
    /// Jina `/embeddings`.
    Jina,
    /// Text Embeddings Inference `/embed`.
    Tei,
    /// Hugging Face's feature extraction.
    FeatureExtraction,
    /// Ollama `/api/embed`.
    Ollama,
    /// Bedrock `InvokeModel` of Titan's models: one text a call.
    BedrockTitan,
    /// Bedrock `InvokeModel` of Cohere's models.
    BedrockCohere,
}

/// How a provider's reranking is spoken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum RerankApi {
    /// Cohere `/v2/rerank`.
    #[default]
    Cohere,
    /// Jina `/v1/rerank`.
    Jina,
    /// Voyage `/v1/rerank`.
    Voyage,
    /// Text Embeddings Inference `/rerank`.
    Tei,
}

/// How a key is sent.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The form.
    pub style: AuthStyle,
    /// Header name, for [`AuthStyle::Header`].
    #[serde(default)]
    pub header: Option<String>,
    /// What stands before the key, for [`AuthStyle::Prefix`] (`"Token "`).
    #[serde(default)]
    pub prefix: Option<String>,
}

/// The forms of authentication.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum AuthStyle {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// `<header>: <key>`.
    Header,
    /// `Authorization: <prefix><key>`.
    Prefix,
    /// No authentication.
    None,
    /// As bearer if there is a key, else nothing.
    OptionalBearer,
    /// AWS Signature, version 4, with credentials of the environment, a profile, a container, a web
    /// identity or an instance's role; as bearer if there is a key (Bedrock API keys).
    Sigv4,
    /// Google access tokens of a service account, a user's refresh token or the metadata server; as
    /// bearer if there is a key.
    Gcp,
}

impl Auth {
    /// The header that carries the key and what stands before it; `None` when none is sent.
    #[must_use]
    pub fn header_and_prefix(&self) -> Option<(&str, &str)> {
        match self.style {
            AuthStyle::Bearer | AuthStyle::OptionalBearer | AuthStyle::Sigv4 | AuthStyle::Gcp => {
                Some(("authorization", "Bearer "))
            }
            AuthStyle::Header => Some((self.header.as_deref().unwrap_or_default(), "")),
            AuthStyle::Prefix => Some(("authorization", self.prefix.as_deref().unwrap_or_default())),
            AuthStyle::None => None,
        }
    }

    /// Whether a request without a key is useless.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        matches!(self.style, AuthStyle::Bearer | AuthStyle::Header | AuthStyle::Prefix)
    }
}

/// Names of environment variables, in order of preference.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Env {
    /// Hold the key, and enable the provider.
    pub api_key: Vec<String>,
    /// Hold the key too, but belong to another provider as well: read once the provider is
    /// configured, never a reason to enable it.
    pub api_key_shared: Vec<String>,
    /// Replace the base URL. They enable a provider that needs no key.
    pub base_url: Vec<String>,
    /// Placeholder to variable.
    pub vars: BTreeMap<String, String>,
    /// Request header to variable: sent where it is set.
    pub headers: BTreeMap<String, String>,
}

/// What a provider may serve. The names are those of the files.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the endpoint of its path")]
pub enum Operation {
    Chat,
    Completions,
    Responses,
    Messages,
    CountTokens,
    GenerateContent,
    CountContent,
    Converse,
    CohereChat,
    OllamaChat,
    Embeddings,
    ImagesGenerations,
    ImagesEdits,
    ImagesVariations,
    AudioSpeech,
    AudioTranscriptions,
    AudioTranslations,
    Moderations,
    Models,
    Files,
    Uploads,
    Batches,
    FineTuning,
    VectorStores,
    Rerank,
    Realtime,
}

impl Operation {
    /// The path under a base URL of the API it belongs to; `{model}` is the model.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
            Self::Responses => "/responses",
            Self::Messages => "/messages",
            Self::CountTokens => "/messages/count_tokens",
            Self::GenerateContent => "/models/{model}:generateContent",
            Self::CountContent => "/models/{model}:countTokens",
            Self::Converse => "/model/{model}/converse",
            Self::CohereChat => "/chat",
            Self::OllamaChat => "/api/chat",
            Self::Embeddings => "/embeddings",
            Self::ImagesGenerations => "/images/generations",
            Self::ImagesEdits => "/images/edits",
            Self::ImagesVariations => "/images/variations",
            Self::AudioSpeech => "/audio/speech",
            Self::AudioTranscriptions => "/audio/transcriptions",
            Self::AudioTranslations => "/audio/translations",
            Self::Moderations => "/moderations",
            Self::Models => "/models",
            Self::Files => "/files",
            Self::Uploads => "/uploads",
            Self::Batches => "/batches",
            Self::FineTuning => "/fine_tuning",
            Self::VectorStores => "/vector_stores",
            Self::Rerank => "/rerank",
            Self::Realtime => "/realtime",
        }
    }

    /// The path of streamed calls, where it is another.
    #[must_use]
    pub const fn stream_path(self) -> Option<&'static str> {
        match self {
            Self::GenerateContent => Some("/models/{model}:streamGenerateContent?alt=sse"),
            Self::Converse => Some("/model/{model}/converse-stream"),
            _ => None,
        }
    }

    /// The dialect of a conversation, for operations that are one.
    #[must_use]
    pub const fn conversation(self) -> Option<weir_wire::hub::Dialect> {
        use weir_wire::hub::Dialect;
        Some(match self {
            Self::Chat => Dialect::OpenAiChat,
            Self::Responses => Dialect::OpenAiResponses,
            Self::Messages => Dialect::Anthropic,
            Self::GenerateContent => Dialect::Gemini,
            Self::Converse => Dialect::Bedrock,
            Self::CohereChat => Dialect::Cohere,
            Self::OllamaChat => Dialect::Ollama,
            _ => return None,
        })
    }
}

/// Deviations from OpenAI's API that the code acts on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// Refuses `stream_options`: do not ask for usage in streams (it comes anyway).
    NoStreamOptions,
    /// Knows `max_tokens`, not `max_completion_tokens`.
    RenameMaxCompletionTokens,
    /// `seed` is called `random_seed`.
    RenameSeed,
    /// Refuses `name` on messages: it is left out, with a warning.
    NoMessageName,
    /// `stop` must be an array: a string is put into one.
    StopAsArray,
}

/// Names of operations in files and configurations.
pub const OPERATIONS: &[&str] = &[
    "chat",
    "completions",
    "responses",
    "messages",
    "count_tokens",
    "generate_content",
    "count_content",
    "converse",
    "cohere_chat",
    "ollama_chat",
    "embeddings",
    "images_generations",
    "images_edits",
    "images_variations",
    "audio_speech",
    "audio_transcriptions",
    "audio_translations",
    "moderations",
    "models",
    "files",
    "uploads",
    "batches",
    "fine_tuning",
    "vector_stores",
    "rerank",
    "realtime",
];
/// Names of quirks.
pub const QUIRKS: &[&str] =
    &["no_stream_options", "rename_max_completion_tokens", "rename_seed", "no_message_name", "stop_as_array"];
/// Names of authentication styles.
pub const AUTH_STYLES: &[&str] = &["bearer", "header", "prefix", "none", "optional_bearer", "sigv4", "gcp"];
/// Names of usage rules.
pub const USAGE_RULES: &[&str] =
    &["usage_in", "reasoning_outside_output", "citations_outside_output", "cache_outside_input", "no_done"];

/// What the environment says about a provider. Holds names of variables, never their values, but
/// for the base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromEnv {
    /// The variable that holds the key; `None` for a provider that runs without one.
    pub api_key_var: Option<String>,
    /// The complete base URL.
    pub base_url: String,
}

/// Why there is no base URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// A placeholder has no value.
    #[error("the base URL needs {name:?}: set it in the config{}", var.as_ref().map(|v| format!(" or in {v}")).unwrap_or_default())]
    Missing {
        /// The placeholder.
        name: String,
        /// The variable that would set it.
        var: Option<String>,
    },
    /// A value would change the shape of the URL.
    #[error("the value of {name:?} cannot stand in a URL: use letters, digits, '.', '-', '_' and ':' only")]
    BadValue {
        /// The placeholder.
        name: String,
    },
    /// A `{` without its `}`.
    #[error("the base URL has a '{{' without '}}'")]
    Syntax,
}

impl Provider {
    /// The path of an operation under the base URL; `None` if the provider does not serve it.
    #[must_use]
    pub fn path(&self, operation: Operation) -> Option<&str> {
        let served = self.operations.contains(&operation);
        served.then(|| self.paths.get(&operation).map_or(operation.path(), String::as_str))
    }

    /// How the answers of an operation report usage.
    #[must_use]
    pub fn usage_of(&self, operation: Operation) -> &UsageRules {
        self.usage_of.get(&operation).unwrap_or(&self.usage)
    }

    /// Whether the provider has this quirk.
    #[must_use]
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Whether the environment turns the provider on, and how. `get` reads a variable; empty
    /// counts as unset.
    ///
    /// A provider that needs a key is on when one of [`Env::api_key`] is set and its base URL is
    /// complete; one that does not, when one of [`Env::base_url`] is set. [`Env::api_key_shared`]
    /// never turns anything on.
    #[must_use]
    pub fn from_env(&self, get: &dyn Fn(&str) -> Option<String>) -> Option<FromEnv> {
        let is_set = |name: &&String| get(name).is_some_and(|value| !value.is_empty());
        let on = match self.auth.needs_key() {
            true => self.env.api_key.iter().any(|name| is_set(&name)),
            false => self.env.base_url.iter().any(|name| is_set(&name)),
        };
        let base_url = on.then(|| self.base_url(None, &BTreeMap::new(), get).ok())??;
        Some(FromEnv { api_key_var: self.key_var(get).map(str::to_owned), base_url })
    }

    /// The variable that holds the key: the first that is set of [`Env::api_key`] and
    /// [`Env::api_key_shared`].
    #[must_use]
    pub fn key_var(&self, get: &dyn Fn(&str) -> Option<String>) -> Option<&str> {
        let mut names = self.env.api_key.iter().chain(&self.env.api_key_shared);
        names.find(|name| get(name).is_some_and(|value| !value.is_empty())).map(String::as_str)
    }

    /// The complete base URL: from `configured` (the config's `base_url`), else a variable of
    /// [`Env::base_url`], else the catalogue's: that of the region, where it has one. Placeholders come from `vars` (the config), the
    /// environment, the defaults. `http://` is put before an address without a scheme, and
    /// [`Provider::api_path`] after one without a path.
    ///
    /// # Errors
    /// A placeholder without a value, or with one that does not fit a URL.
    pub fn base_url(
        &self,
        configured: Option<&str>,
        vars: &BTreeMap<String, String>,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, BaseUrlError> {
        let from_env = || self.env.base_url.iter().filter_map(|name| get(name)).find(|value| !value.is_empty());
        let of_region = || {
            let region = self.value("region", vars, get).ok()?;
            self.regions.get(&region).cloned()
        };
        let template = configured.map(str::to_owned).or_else(from_env).or_else(of_region);
        let template = template.unwrap_or_else(|| self.base_url.clone());
        let url = self.fill(&template, vars, get)?;
        Ok(with_path(with_scheme(url.trim_end_matches('/')), &self.api_path))
    }

    /// Fills the placeholders of a base URL or a query value.
    ///
    /// # Errors
    /// As [`Provider::base_url`].
    pub fn fill(
        &self,
        template: &str,
        vars: &BTreeMap<String, String>,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, BaseUrlError> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(BaseUrlError::Syntax)?;
            let value = self.value(name, vars, get)?;
            // A whole address may stand for the beginning, never inside.
            let whole = before.is_empty() && out.is_empty();
            let value = if whole { value.trim_end_matches('/') } else { bare_host(&value) };
            let safe = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b) || (whole && b == b'/');
            if value.is_empty() || !value.bytes().all(safe) {
                return Err(BaseUrlError::BadValue { name: name.to_owned() });
            }
            out.push_str(before);
            out.push_str(value);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(
        &self,
        name: &str,
        vars: &BTreeMap<String, String>,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, BaseUrlError> {
        let var = self.env.vars.get(name);
        let value = vars.get(name).cloned().or_else(|| var.and_then(|var| get(var)).filter(|value| !value.is_empty()));
        value
            .or_else(|| self.defaults.get(name).cloned())
            .ok_or_else(|| BaseUrlError::Missing { name: name.to_owned(), var: var.cloned() })
    }
}

/// Some host variables are customarily set to a URL: keep the host.
fn bare_host(value: &str) -> &str {
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    host.unwrap_or(value).trim_end_matches('/')
}

fn with_scheme(url: &str) -> String {
    if url.is_empty() || url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

fn with_path(url: String, path: &str) -> String {
    let has_own = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if url.is_empty() || has_own { url } else { url + path }
}
