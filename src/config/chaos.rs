//! `chaos`: calls that go wrong on purpose, for staging.

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Field, Section};
use crate::faults::Faults;

/// Calls that go wrong on purpose, whoever makes them: for staging, never for production.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Chaos {
    /// Whether they do. Nothing here acts without it.
    pub enabled: bool,
    /// What goes wrong where.
    pub faults: Vec<ChaosFault>,
}

/// What goes wrong with calls to a provider, or of a route: exactly one of `provider` and `model`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChaosFault {
    /// With calls to this provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// With calls of this public model name: a route of `models`.
    #[serde(default)]
    pub model: Option<String>,
    /// What, as in `x-weir-fault`: `status=503,rate=0.05`, `delay=2s`, `chunk_delay=50ms`, `cut_after=3`,
    /// `malformed_after=2`, combined with commas. `rate` is how probable it is.
    #[schemars(with = "String")]
    pub fault: Faults,
}

impl Chaos {
    /// Whether anything goes wrong.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.enabled && !self.faults.is_empty()
    }

    /// What goes wrong at a provider.
    pub fn of_provider(&self, id: &str) -> impl Iterator<Item = Faults> {
        self.of(move |fault| fault.provider.as_deref() == Some(id))
    }

    /// What goes wrong with a route.
    pub fn of_model(&self, name: &str) -> impl Iterator<Item = Faults> {
        self.of(move |fault| fault.model.as_deref() == Some(name))
    }

    fn of(&self, is_it: impl Fn(&ChaosFault) -> bool) -> impl Iterator<Item = Faults> {
        self.faults.iter().filter(move |fault| self.enabled && is_it(fault)).map(|fault| fault.fault.clone())
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            enabled: section.take("enabled", Field::boolean).unwrap_or(false),
            faults: section
                .take("faults", |field| field.list(|field| field.section(ChaosFault::read).flatten()))
                .unwrap_or_default(),
        }
    }

    /// What to tell whoever starts the gateway or checks its configuration; nothing where it is off.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        if !self.enabled {
            return Vec::new();
        }
        if self.faults.is_empty() {
            return vec!["chaos: it is enabled and has no faults, so that nothing goes wrong".to_owned()];
        }
        let of = |fault: &ChaosFault| match (&fault.provider, &fault.model) {
            (Some(provider), _) => format!("provider {provider}"),
            (None, model) => format!("model {}", model.as_deref().unwrap_or_default()),
        };
        let told = self.faults.iter().map(|fault| {
            format!(
                "chaos: calls of {} go wrong on purpose: {}; never leave this on in production",
                of(fault),
                fault.fault
            )
        });
        told.collect()
    }
}

impl ChaosFault {
    /// `None` when it lacks what makes it a fault, which has been told.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let provider = section.take("provider", Field::text);
        let model = section.take("model", Field::text);
        let fault = section.require("fault", |field| field.parse(fault));
        check(section, provider.as_deref(), model.as_deref());
        Some(Self { provider, model, fault: fault? })
    }
}

fn fault(text: &str) -> Result<Faults, String> {
    let fault: Faults = text.parse()?;
    if fault.provider.is_some() {
        return Err("`provider` is a key of its own here, beside `fault`".to_owned());
    }
    if fault.is_nothing() {
        return Err("it says nothing that goes wrong; expected such as `status=503,rate=0.05`".to_owned());
    }
    Ok(fault)
}

fn check(section: &mut Section<'_>, provider: Option<&str>, model: Option<&str>) {
    if provider.is_some() == model.is_some() {
        let path = section.path.clone();
        section.cx.fault_of(&path, "exactly one of `provider` and `model` says where it goes wrong", None);
    }
}
