//! `keys`: virtual keys that the file declares, beside those in the database.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::budgets::KeyBudget;
use super::read::{Field, Section};
use super::secret::Secret;
use crate::limits::{Limits, Priority};

/// A virtual key that the file declares.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name, unique among the file's keys.
    pub name: String,
    /// The key itself, as clients send it.
    pub key: Secret,
    /// The models it may use, as globs (`gpt-*`, `openai/*`); empty allows every model.
    #[serde(default)]
    pub models: Vec<String>,
    /// How much it may use at a time.
    #[serde(default)]
    pub limits: Limits,
    /// Who goes first where requests wait for an upstream.
    #[serde(default)]
    pub priority: Priority,
    /// The team it belongs to.
    #[serde(default)]
    pub team_id: Option<String>,
    /// The user it belongs to.
    #[serde(default)]
    pub user_id: Option<String>,
    /// The organisation it belongs to.
    #[serde(default)]
    pub organization_id: Option<String>,
    /// When it ends, as RFC 3339 (`2027-01-01T00:00:00Z`).
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
    /// Anything to be kept with its usage.
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// What it may cost within a period.
    #[serde(default)]
    pub budget: Option<KeyBudget>,
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<Key> {
    let mut names = HashSet::new();
    let mut key = |field: Field<'_>| {
        field.section(|section| {
            let key = Key::read(section)?;
            if !names.insert(key.name.clone()) {
                let path = format!("{}.name", section.path);
                section.cx.fault_of(&path, format!("another key is called `{}` already", key.name), None);
            }
            Some(key)
        })?
    };
    section.take("keys", |field| field.list(&mut key)).unwrap_or_default()
}

impl Key {
    /// `None` when it lacks what makes it a key, which has been told.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.require("name", named);
        let key = section.require("key", Field::secret);
        let models = section.take("models", |field| field.list(glob)).unwrap_or_default();
        let limits = section.section("limits", Limits::read).unwrap_or_default();
        let priority = section.take("priority", Field::choice).unwrap_or_default();
        let team_id = section.take("team_id", named);
        let user_id = section.take("user_id", named);
        let organization_id = section.take("organization_id", named);
        let expires_at = section.take("expires_at", timestamp);
        let metadata = section.take("metadata", |field| field.map(|_, field| field.json())).unwrap_or_default();
        let budget = section.section("budget", KeyBudget::read).flatten();
        let metadata = metadata.into_iter().collect();
        Some(Self {
            name: name?,
            key: key?,
            models,
            limits,
            priority,
            team_id,
            user_id,
            organization_id,
            expires_at,
            metadata,
            budget,
        })
    }
}

fn named(field: Field<'_>) -> Option<String> {
    field.parse(|text| super::models::check_name(text).map(|()| text.to_owned()))
}

fn glob(field: Field<'_>) -> Option<String> {
    field.parse(|text| match globset::Glob::new(text) {
        Ok(_) if text.is_empty() => Err("a glob must not be empty; `*` stands for every model".to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("not a glob: {}", error.kind())),
    })
}

fn timestamp(field: Field<'_>) -> Option<Timestamp> {
    field.parse(|text| text.parse::<Timestamp>().map_err(|_| "expected a time such as `2027-01-01T00:00:00Z`"))
}
