//! What must hold of a provider beyond its schema.

use std::net::Ipv4Addr;

use super::{AuthStyle, Dialect, Provider};

/// A fault of a provider's description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ProviderFault {
    /// The key at fault (`base_url`, `auth.header`, ...).
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Provider {
    /// Every fault of the description, not only the first.
    #[must_use]
    pub fn faults(&self) -> Vec<ProviderFault> {
        let mut faults = Vec::new();
        let mut fault = |key, problem: &str| faults.push(ProviderFault { key, problem: problem.to_owned() });
        if self.id.is_empty() || !self.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            fault("id", "use letters, digits, '-', '_' and '.'");
        }
        if self.operations.is_empty() {
            fault("operations", "a provider must serve something");
        }
        self.url_faults(&mut fault);
        self.auth_faults(&mut fault);
        self.env_faults(&mut fault);
        self.model_faults(&mut fault);
        self.operation_faults(&mut fault);
        faults
    }

    /// What is told of an operation must be of one that is served.
    fn operation_faults(&self, fault: &mut dyn FnMut(&'static str, &str)) {
        let served = |operation: &super::Operation| self.operations.contains(operation);
        let of_models = self.models.iter().flat_map(|rule| rule.paths.keys().chain(rule.stream_paths.keys()));
        if !self.paths.keys().chain(self.stream_paths.keys()).chain(of_models).all(served) {
            fault("paths", "name operations of the provider");
        }
        if !self.usage_of.keys().all(served) {
            fault("usage_of", "name operations of the provider");
        }
        let of_models = self.models.iter().flat_map(|rule| rule.paths.values().chain(rule.stream_paths.values()));
        let own = self.paths.values().chain(self.stream_paths.values());
        let api = std::iter::once(&self.api_path).filter(|path| !path.is_empty());
        if own.chain(of_models).chain(api).any(|path| !path.starts_with('/') || path.ends_with('/')) {
            fault("paths", "a path starts with '/' and does not end with one");
        }
    }

    /// Capabilities must be those that the codecs know.
    fn model_faults(&self, fault: &mut dyn FnMut(&'static str, &str)) {
        let all = std::iter::once(&self.capabilities).chain(self.models.iter().map(|rule| &rule.capabilities));
        for capabilities in all {
            let read: Result<weir_wire::hub::Capabilities, _> = serde_json::from_value(capabilities.clone().into());
            if let Err(error) = read {
                fault("capabilities", &error.to_string());
            }
        }
        if self.models.iter().any(|rule| rule.models.is_empty()) {
            fault("models", "a rule names the models it is for");
        }
        let talks = self.models.iter().flat_map(|rule| &rule.conversation);
        if talks.clone().any(|operation| operation.conversation().is_none()) {
            fault("models.conversation", "name operations that are conversations: chat, messages, ...");
        }
        if talks.clone().any(|operation| !self.operations.contains(operation)) {
            fault("models.conversation", "name operations of the provider");
        }
    }

    fn url_faults(&self, fault: &mut dyn FnMut(&'static str, &str)) {
        if self.dialect == Dialect::Demo {
            if !self.base_url.is_empty() {
                fault("base_url", "the demo has none");
            }
            return;
        }
        if self.base_url.ends_with('/') {
            fault("base_url", "no slash at the end");
        }
        let host = self.base_url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
        let loopback = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
        match host {
            Some(host) if !loopback(host) => fault("base_url", "plain http is for this machine only: use https"),
            None if !self.base_url.starts_with("https://") && !self.base_url.starts_with('{') => {
                fault("base_url", "must start with https:// or a placeholder");
            }
            _ => {}
        }
        if has_more(&self.base_url) {
            fault("base_url", "no query, fragment, user or space");
        }
        let unfit = |url: &String| !url.starts_with("https://") || url.ends_with('/') || has_more(url);
        if self.regions.values().any(unfit) {
            fault("regions", "a base URL starts with https:// and has no slash at the end, query, fragment or user");
        }
        if !self.regions.is_empty() && !self.base_url.contains("{region}") {
            fault("regions", "they are told apart by {region}, which base_url does not hold");
        }
    }

    fn auth_faults(&self, fault: &mut dyn FnMut(&'static str, &str)) {
        let token =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        match (self.auth.style, &self.auth.header, &self.auth.prefix) {
            (AuthStyle::Header, Some(header), None) if token(header) => {}
            (AuthStyle::Header, _, _) => {
                fault("auth.header", "style \"header\" needs the header's name, and no prefix")
            }
            (AuthStyle::Prefix, None, Some(prefix)) if !prefix.is_empty() => {}
            (AuthStyle::Prefix, _, _) => fault("auth.prefix", "style \"prefix\" needs the prefix, and no header"),
            (_, None, None) => {}
            _ => fault("auth", "header and prefix belong to the styles of their names"),
        }
        if self.headers.keys().chain(self.env.headers.keys()).any(|name| !token(name)) {
            fault("headers", "a header name has letters, digits, '-' and '_' only");
        }
    }

    fn env_faults(&self, fault: &mut dyn FnMut(&'static str, &str)) {
        let env = &self.env;
        let lists = env.api_key.iter().chain(&env.api_key_shared).chain(&env.base_url);
        let valid = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        };
        if !lists.chain(env.vars.values()).chain(env.headers.values()).all(valid) {
            fault("env", "a variable name has capital letters, digits and '_' only");
        }
        if self.auth.style == AuthStyle::None && !(env.api_key.is_empty() && env.api_key_shared.is_empty()) {
            fault("env.api_key", "style \"none\" takes no key");
        }
    }
}

/// Whether there is something in a URL that is no part of a base URL.
fn has_more(url: &str) -> bool {
    url.contains(['?', '#', ' ', '$', '@'])
}
