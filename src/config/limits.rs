//! `limits`: how much at a time, for whom: of keys and providers themselves, and as a list for all others.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};
use crate::limits::{Limits, MOST, Priority, Scope};

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let limit = |field: Field<'_>| field.integer(1..=MOST);
        Self {
            rps: section.take("rps", limit),
            rpm: section.take("rpm", limit),
            rph: section.take("rph", limit),
            rpd: section.take("rpd", limit),
            tps: section.take("tps", limit),
            tpm: section.take("tpm", limit),
            tph: section.take("tph", limit),
            tpd: section.take("tpd", limit),
            concurrency: section.take("concurrency", limit),
        }
    }
}

impl Choice for Priority {
    const ALL: &'static [(&'static str, Self)] = &[("high", Self::High), ("normal", Self::Normal), ("low", Self::Low)];
}

macro_rules! with_limits {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
            /// Requests a second.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub rps: Option<u64>,
            /// Requests a minute.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub rpm: Option<u64>,
            /// Requests an hour.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub rph: Option<u64>,
            /// Requests a day.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub rpd: Option<u64>,
            /// Tokens a second, input and output together.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub tps: Option<u64>,
            /// Tokens a minute, input and output together.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub tpm: Option<u64>,
            /// Tokens an hour, input and output together.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub tph: Option<u64>,
            /// Tokens a day, input and output together.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub tpd: Option<u64>,
            /// Requests at a time.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub concurrency: Option<u64>,
        }

        impl $name {
            /// How much.
            #[must_use]
            pub fn limits(&self) -> Limits {
                let Self { rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency, .. } = *self;
                Limits { rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency }
            }
        }
    };
}

with_limits! {
    /// Limits for one of `key`, `user`, `team`, `organization`, `model` and `provider`. `*` is each of them on
    /// its own; an entry that names one takes the place of that.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    Limit {
        /// The id of a virtual key; that of one the file declares is `config:` and its name.
        #[serde(default)]
        key: Option<String>,
        /// The user of keys.
        #[serde(default)]
        user: Option<String>,
        /// The team of keys.
        #[serde(default)]
        team: Option<String>,
        /// The organisation of keys.
        #[serde(default)]
        organization: Option<String>,
        /// A model: as it is asked for, or `provider/model`, whatever name leads there.
        #[serde(default)]
        model: Option<String>,
        /// A provider, all its upstream keys together.
        #[serde(default)]
        provider: Option<String>,
    }
}

with_limits! {
    /// What an upstream grants, for each of its keys.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    ProviderLimits {
        /// Whether what its answers tell of its own limits (`x-ratelimit-*`, `anthropic-ratelimit-*`) is believed.
        #[serde(default)]
        learn: bool,
    }
}

impl ProviderLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let learn = section.take("learn", Field::boolean).unwrap_or(false);
        let Limits { rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency } = Limits::read(section);
        Self { learn, rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency }
    }
}

impl Limit {
    /// Whom it is for.
    #[must_use]
    pub fn subject(&self) -> Option<(Scope, &str)> {
        let fields = [
            (Scope::Key, &self.key),
            (Scope::User, &self.user),
            (Scope::Team, &self.team),
            (Scope::Organization, &self.organization),
            (Scope::Model, &self.model),
            (Scope::Provider, &self.provider),
        ];
        fields.into_iter().find_map(|(scope, subject)| subject.as_deref().map(|subject| (scope, subject)))
    }

    fn read(section: &mut Section<'_>) -> Self {
        let mut subject = |scope: Scope| section.take(scope.as_str(), |field| subject(scope, field));
        let (key, user, team) = (subject(Scope::Key), subject(Scope::User), subject(Scope::Team));
        let (organization, model) = (subject(Scope::Organization), subject(Scope::Model));
        let provider = subject(Scope::Provider);
        one_subject(section);
        let limits = Limits::read(section);
        let unread = limits.named().iter().any(|(name, _)| section.cx.is_set(&format!("{}.{name}", section.path)));
        if limits.is_unlimited() && !unread {
            let names: Vec<&str> = limits.named().iter().map(|(name, _)| *name).collect();
            section.cx.fault_of(&section.path, format!("it limits nothing; set one of {}", names.join(", ")), None);
        }
        let Limits { rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency } = limits;
        Self { key, user, team, organization, model, provider, rps, rpm, rph, rpd, tps, tpm, tph, tpd, concurrency }
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<Limit> {
    let mut seen = HashSet::new();
    let mut limit = |field: Field<'_>| {
        field.section(|section| {
            let limit = Limit::read(section);
            if let Some((scope, subject)) = limit.subject()
                && !seen.insert((scope, subject.to_owned()))
            {
                let problem = format!("another entry is for this {} already; put them together", scope.as_str());
                section.cx.fault_of(&section.path, problem, None);
            }
            limit
        })
    };
    section.take("limits", |field| field.list(&mut limit)).unwrap_or_default()
}

fn subject(scope: Scope, field: Field<'_>) -> Option<String> {
    if scope == Scope::Provider {
        return field.text_and(|cx, at, path, provider| {
            if provider != "*" {
                cx.check_provider(at, path, provider);
            }
        });
    }
    field.parse(|text| match text {
        _ if text.trim().is_empty() || text.chars().any(char::is_control) => {
            Err("a subject must have 1 to 256 bytes and no control characters")
        }
        _ if text.len() > 256 => Err("a subject must have 1 to 256 bytes and no control characters"),
        _ => Ok(text.to_owned()),
    })
}

/// Tells of none, or more than one, of the keys that say whom a limit is for.
fn one_subject(section: &mut Section<'_>) {
    let names: Vec<&str> = Scope::DECLARED.iter().map(|scope| scope.as_str()).collect();
    let there = names.iter().filter(|name| section.cx.is_set(&format!("{}.{name}", section.path))).count();
    if there != 1 {
        let problem = format!("limits are for exactly one of {}", names.join(", "));
        section.cx.fault_of(&section.path, problem, None);
    }
}
