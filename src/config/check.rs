//! Checks that need more than one key.

use super::Config;
use super::context::{Context, join};

/// Tells what is wrong between the keys of a configuration.
pub(super) fn check(cx: &Context<'_>, config: &Config) {
    open_to_all(cx, config);
    metrics_address(cx, config);
    one_default(cx, config);
    fallbacks(cx, config);
    cycles(cx, config);
    receipt_key(cx, config);
    chaos(cx, config);
}

/// What goes wrong goes wrong somewhere.
fn chaos(cx: &Context<'_>, config: &Config) {
    for (i, fault) in config.chaos.faults.iter().enumerate() {
        if let Some(id) = fault.provider.as_deref().filter(|id| !cx.has_provider(id)) {
            let known =
                cx.known.providers.iter().copied().chain(["demo"]).chain(config.providers.keys().map(String::as_str));
            let suggestion = cx.nearest(id, known);
            cx.fault_of(&format!("chaos.faults[{i}].provider"), format!("no provider is called `{id}`"), suggestion);
        }
        if let Some(name) = fault.model.as_deref().filter(|name| !config.models.contains_key(*name)) {
            let suggestion = cx.nearest(name, config.models.keys().map(String::as_str));
            let problem = format!("no model of `models` is called `{name}`");
            cx.fault_of(&format!("chaos.faults[{i}].model"), problem, suggestion);
        }
    }
}

fn receipt_key(cx: &Context<'_>, config: &Config) {
    if let Some(problem) = config.receipts.problem() {
        cx.fault_of("receipts.signing_key", problem, None);
    }
}

fn open_to_all(cx: &Context<'_>, config: &Config) {
    let listen = config.server.listen;
    if !config.auth.required && !listen.ip().is_loopback() {
        let problem = format!("without keys the gateway may listen on a loopback address only, not on {listen}");
        cx.fault_of("auth.required", problem, None);
    }
}

fn metrics_address(cx: &Context<'_>, config: &Config) {
    let port = config.server.listen.port();
    if config.server.metrics_listen == Some(config.server.listen) && port != 0 {
        cx.fault_of("server.metrics_listen", "the same address as `server.listen`; leave it out to share that", None);
    }
}

fn one_default(cx: &Context<'_>, config: &Config) {
    let mut defaults = config.providers.iter().filter(|(_, provider)| provider.is_default).map(|(id, _)| id);
    let first = defaults.next();
    for id in defaults {
        let path = format!("{}.default", join("providers", id));
        let first = first.map_or("", String::as_str);
        cx.fault_of(&path, format!("only one provider can be the default, and `{first}` is it already"), None);
    }
}

fn fallbacks(cx: &Context<'_>, config: &Config) {
    for (name, route) in &config.models {
        for (i, fallback) in route.fallbacks.iter().enumerate() {
            let direct = fallback.split_once('/').is_some_and(|(provider, _)| cx.has_provider(provider));
            if direct || config.models.contains_key(fallback) {
                continue;
            }
            let path = format!("{}.fallbacks[{i}]", join("models", name));
            let suggestion = cx.nearest(fallback, config.models.keys().map(String::as_str));
            cx.fault_of(&path, format!("no model is called `{fallback}`"), suggestion);
        }
    }
}

/// How far the search for cycles is with a model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    OnTheWay,
    Done,
}

/// Tells each fallback that leads back to a model on the way to it. Walks with a stack of its own:
/// a chain may be as long as the file.
fn cycles(cx: &Context<'_>, config: &Config) {
    let mut seen = vec![Seen::Not; config.models.len()];
    for start in 0..config.models.len() {
        if seen[start] == Seen::Not {
            seen[start] = Seen::OnTheWay;
            walk(cx, config, start, &mut seen);
        }
    }
}

fn walk(cx: &Context<'_>, config: &Config, start: usize, seen: &mut [Seen]) {
    // Each step is a model and the number of its fallbacks already followed.
    let mut way = vec![(start, 0_usize)];
    while let Some((model, next)) = way.last_mut() {
        let (model, i) = (*model, *next);
        *next += 1;
        let Some((name, route)) = config.models.get_index(model) else { return };
        let Some(fallback) = route.fallbacks.get(i) else {
            seen[model] = Seen::Done;
            way.pop();
            continue;
        };
        let Some(to) = config.models.get_index_of(fallback) else { continue };
        match seen[to] {
            Seen::OnTheWay => {
                let path = format!("{}.fallbacks[{i}]", join("models", name));
                cx.fault_of(&path, format!("falling back to `{fallback}` leads in a circle"), None);
            }
            Seen::Not => {
                seen[to] = Seen::OnTheWay;
                way.push((to, 0));
            }
            Seen::Done => {}
        }
    }
}
