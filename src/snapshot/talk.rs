//! How a model at a provider can be talked to: in which dialects, where, with what in the body.

use std::sync::Arc;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use weir_wire::embed::Limits;
use weir_wire::hub::{Capabilities, Dialect};
use weir_wire::rules::UsageRules;

use super::{ProviderDef, capable};
use crate::catalog::{self, EmbedApi, Model, ModelRule, Operation, RerankApi};

/// What of a model's name is escaped in a path: all but what never needs it (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One way to talk.
#[derive(Clone, Debug)]
pub struct Talk {
    /// In this dialect.
    pub dialect: Dialect,
    /// Here.
    pub paths: Paths,
    /// What it costs is told so.
    pub usage: Arc<UsageRules>,
}

/// Where an operation is served.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Whole answers.
    pub whole: Path,
    /// Streams.
    pub stream: Path,
}

/// A place.
#[derive(Clone, Debug)]
pub struct Path {
    /// The address.
    pub uri: Uri,
    /// The model is part of it.
    pub names_model: bool,
}

/// How texts are embedded.
#[derive(Clone, Debug)]
pub struct Embeds {
    /// In this form.
    pub api: EmbedApi,
    /// Here.
    pub path: Path,
    /// So much at once.
    pub limits: Limits,
}

/// How documents are ordered.
#[derive(Clone, Debug)]
pub struct Reranks {
    /// In this form.
    pub api: RerankApi,
    /// Here.
    pub path: Path,
}

/// A model at a provider, while its ways are found.
#[derive(Debug)]
pub(super) struct Ways<'w> {
    provider: &'w ProviderDef,
    kind: Option<&'static catalog::Provider>,
    rules: Vec<&'static ModelRule>,
    model: &'w str,
    info: Option<&'w Model>,
}

impl<'w> Ways<'w> {
    pub(super) fn of(provider: &'w ProviderDef, model: &'w str, info: Option<&'w Model>) -> Self {
        let kind = provider.kind_def();
        let rules = kind.iter().flat_map(|kind| &kind.models).filter(|rule| rule.fits(model)).collect();
        Self { provider, kind, rules, model, info }
    }

    /// The conversations, best first. A model that has no chat endpoint is talked to by Responses
    /// alone, where the provider has them.
    pub(super) fn talks(&self) -> Vec<Talk> {
        let own = self.rules.iter().rev().find(|rule| !rule.conversation.is_empty());
        let operations = own.map_or(&self.provider.operations, |rule| &rule.conversation);
        let served = operations.iter().filter(|operation| self.provider.operations.contains(operation));
        let mut talks: Vec<Talk> =
            served.filter_map(|operation| self.talk(*operation, operation.conversation()?)).collect();
        if self.info.is_some_and(|info| info.responses_only)
            && talks.iter().any(|talk| talk.dialect == Dialect::OpenAiResponses)
        {
            talks.retain(|talk| talk.dialect == Dialect::OpenAiResponses);
        }
        if own.is_none() {
            // Most servers have been speaking chat for longer than Responses.
            talks.sort_by_key(|talk| talk.dialect == Dialect::OpenAiResponses);
        }
        talks
    }

    fn talk(&self, operation: Operation, dialect: Dialect) -> Option<Talk> {
        let whole = self.path(operation)?;
        let stream = self.template(operation, true).and_then(|path| self.place(&path));
        let usage = self.provider.usage_of.get(&operation).unwrap_or(&self.provider.usage);
        let paths = Paths { stream: stream.unwrap_or_else(|| whole.clone()), whole };
        Some(Talk { dialect, paths, usage: Arc::clone(usage) })
    }

    pub(super) fn counts(&self) -> Option<Talk> {
        self.talk(Operation::CountTokens, Dialect::Anthropic)
            .or_else(|| self.talk(Operation::CountContent, Dialect::Gemini))
    }

    pub(super) fn embeds(&self) -> Option<Embeds> {
        let of_rules = |pick: fn(&ModelRule) -> Option<EmbedApi>| self.rules.iter().rev().find_map(|rule| pick(rule));
        let api = of_rules(|rule| rule.embeddings_api).or(self.kind.map(|kind| kind.embeddings_api));
        let limits = self.rules.iter().rev().find_map(|rule| rule.embeddings_limits);
        let limits = limits.or(self.kind.map(|kind| kind.embeddings_limits)).unwrap_or_default();
        Some(Embeds { api: api.unwrap_or_default(), path: self.path(Operation::Embeddings)?, limits })
    }

    pub(super) fn reranks(&self) -> Option<Reranks> {
        let api = self.rules.iter().rev().find_map(|rule| rule.rerank_api).or(self.kind.map(|kind| kind.rerank_api));
        Some(Reranks { api: api.unwrap_or_default(), path: self.path(Operation::Rerank)? })
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.kind.map_or_else(Capabilities::default, |kind| capable::capabilities(kind, self.model, self.info))
    }

    /// Members for the body, later rules over earlier ones.
    pub(super) fn body(&self) -> Vec<(String, String)> {
        let mut all = serde_json::Map::new();
        all.extend(self.kind.iter().flat_map(|kind| kind.body.clone()));
        all.extend(self.rules.iter().flat_map(|rule| rule.body.clone()));
        all.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    /// Where whole answers of an operation come from; none if the provider does not serve it.
    pub(super) fn path(&self, operation: Operation) -> Option<Path> {
        let served = self.provider.operations.contains(&operation);
        served.then(|| self.template(operation, false)).flatten().and_then(|path| self.place(&path))
    }

    /// The path of an operation: the entry's, a rule's, the catalogue's, the usual one.
    fn template(&self, operation: Operation, stream: bool) -> Option<String> {
        if let Some(own) = self.provider.paths.get(&operation) {
            return (!stream).then(|| own.clone());
        }
        let of_rule = |rule: &&ModelRule| {
            if stream { rule.stream_paths.get(&operation) } else { rule.paths.get(&operation) }.cloned()
        };
        let of_kind = |kind: &catalog::Provider| {
            if stream { kind.stream_paths.get(&operation) } else { kind.paths.get(&operation) }.cloned()
        };
        let found = self.rules.iter().rev().find_map(of_rule).or_else(|| self.kind.and_then(of_kind));
        // A path of their own for whole answers, and none for streams: the same for both.
        let own_whole = || stream && self.template(operation, false).is_some_and(|path| path != operation.path());
        found.or_else(|| match stream {
            true if own_whole() => None,
            true => operation.stream_path().map(str::to_owned),
            false => Some(operation.path().to_owned()),
        })
    }

    fn place(&self, path: &str) -> Option<Path> {
        // Two dots are a way up the path, whoever unescapes it on the way.
        let escaped = if self.model.contains("..") { NON_ALPHANUMERIC } else { SEGMENT };
        let model = utf8_percent_encode(self.model, escaped).to_string();
        let names_model = path.contains("{deployment}") || path.contains("{model}");
        let path = path.replace("{deployment}", &model).replace("{model}", &model);
        let query = match (&self.provider.query, path.contains('?')) {
            (Some(query), true) => format!("&{query}"),
            (Some(query), false) => format!("?{query}"),
            (None, _) => String::new(),
        };
        let url = format!("{}/{}{query}", self.provider.base_url, path.trim_start_matches('/'));
        Some(Path { uri: url.parse().ok()?, names_model })
    }
}
