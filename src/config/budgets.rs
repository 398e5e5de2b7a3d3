//! `budgets`, `budget_policy` and the budgets of declared keys: what may be spent.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Choice, Field, Section};
use crate::budget::{self, DEFAULT_THRESHOLDS, OF_DECLARED_KEY, Period, Scope, Zone};
use crate::money::NanoUsd;

/// What a declared key may cost within a period.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBudget {
    /// What may be spent in a period, in US dollars.
    #[schemars(with = "Usd")]
    pub usd: NanoUsd,
    /// After what it begins anew.
    pub period: Period,
    /// Whose calendar that is: a name of the IANA time zone database.
    #[serde(default)]
    #[schemars(with = "String")]
    pub time_zone: Zone,
    /// Whether what is left at a period's end is added to the next.
    #[serde(default)]
    pub carry_over: bool,
    /// At how much of it an event is sent, in percent.
    #[serde(default = "default_thresholds")]
    #[schemars(with = "Vec<Percent>", length(max = 10))]
    pub thresholds: Vec<u8>,
}

/// A budget. Exactly one of `key`, `user`, `team`, `organization`, `provider`, `model` and `tag` says of what.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name, unique among the file's budgets.
    pub name: String,
    /// The id of a virtual key; that of one the file declares is `config:` and its name.
    #[serde(default)]
    pub key: Option<String>,
    /// The user of keys.
    #[serde(default)]
    pub user: Option<String>,
    /// The team of keys.
    #[serde(default)]
    pub team: Option<String>,
    /// The organisation of keys.
    #[serde(default)]
    pub organization: Option<String>,
    /// A provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// A model: as it is asked for, or `provider/model`.
    #[serde(default)]
    pub model: Option<String>,
    /// A tag of requests, as `name=value`.
    #[serde(default)]
    pub tag: Option<String>,
    /// What may be spent in a period, in US dollars.
    #[schemars(with = "Usd")]
    pub usd: NanoUsd,
    /// After what it begins anew.
    pub period: Period,
    /// Whose calendar that is: a name of the IANA time zone database.
    #[serde(default)]
    #[schemars(with = "String")]
    pub time_zone: Zone,
    /// Whether what is left at a period's end is added to the next.
    #[serde(default)]
    pub carry_over: bool,
    /// At how much of it an event is sent, in percent.
    #[serde(default = "default_thresholds")]
    #[schemars(with = "Vec<Percent>", length(max = 10))]
    pub thresholds: Vec<u8>,
}

/// What becomes of a request that cannot be held to its budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetPolicy {
    /// A request under a budget whose price is not known.
    pub unpriced: Policy,
    /// A request that comes before the budgets could be read from the database.
    pub unknown: Policy,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It is refused.
    #[default]
    Refuse,
    /// It passes, and no budget knows of it.
    Allow,
}

impl Choice for Policy {
    const ALL: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("allow", Self::Allow)];
}

impl Choice for Period {
    const ALL: &'static [(&'static str, Self)] = &[
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("total", Self::Total),
    ];
}

impl Budget {
    /// What the budget is for.
    #[must_use]
    pub fn subject(&self) -> Option<(Scope, &str)> {
        let fields = [
            (Scope::Key, &self.key),
            (Scope::User, &self.user),
            (Scope::Team, &self.team),
            (Scope::Organization, &self.organization),
            (Scope::Provider, &self.provider),
            (Scope::Model, &self.model),
            (Scope::Tag, &self.tag),
        ];
        fields.into_iter().find_map(|(scope, subject)| subject.as_deref().map(|subject| (scope, subject)))
    }

    /// What may be spent how often.
    #[must_use]
    pub fn terms(&self) -> KeyBudget {
        KeyBudget {
            usd: self.usd,
            period: self.period,
            time_zone: self.time_zone.clone(),
            carry_over: self.carry_over,
            thresholds: self.thresholds.clone(),
        }
    }

    /// `None` when it lacks what makes it a budget, which has been told.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.require("name", name);
        let subjects = Scope::ALL
            .iter()
            .filter_map(|scope| Some((*scope, section.take(scope.as_str(), |field| subject(*scope, field))?)));
        let mut subjects: Vec<(Scope, String)> = subjects.collect();
        one_subject(section);
        let mut of = |scope| {
            let at = subjects.iter().position(|(found, _)| *found == scope)?;
            Some(subjects.swap_remove(at).1)
        };
        let (key, user, team, organization) =
            (of(Scope::Key), of(Scope::User), of(Scope::Team), of(Scope::Organization));
        let (provider, model, tag) = (of(Scope::Provider), of(Scope::Model), of(Scope::Tag));
        let KeyBudget { usd, period, time_zone, carry_over, thresholds } = KeyBudget::read(section)?;
        Some(Self {
            name: name?,
            key,
            user,
            team,
            organization,
            provider,
            model,
            tag,
            usd,
            period,
            time_zone,
            carry_over,
            thresholds,
        })
    }
}

impl KeyBudget {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let usd = section.require("usd", usd);
        let period = section.require("period", Field::choice);
        let time_zone = section.take("time_zone", |field| field.parse(Zone::parse)).unwrap_or_default();
        let carry_over = section.take("carry_over", Field::boolean).unwrap_or(false);
        let thresholds = section.take("thresholds", thresholds).unwrap_or_else(default_thresholds);
        Some(Self { usd: usd?, period: period?, time_zone, carry_over, thresholds })
    }
}

impl BudgetPolicy {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            unpriced: section.take("unpriced", Field::choice).unwrap_or_default(),
            unknown: section.take("unknown", Field::choice).unwrap_or_default(),
        }
    }
}

pub(super) fn read(section: &mut Section<'_>) -> Vec<Budget> {
    let mut names = HashSet::new();
    let mut budget = |field: Field<'_>| {
        field.section(|section| {
            let budget = Budget::read(section)?;
            if !names.insert(budget.name.clone()) {
                let path = format!("{}.name", section.path);
                section.cx.fault_of(&path, format!("another budget is called `{}` already", budget.name), None);
            }
            Some(budget)
        })?
    };
    section.take("budgets", |field| field.list(&mut budget)).unwrap_or_default()
}

/// An amount of US dollars, as in other sections.
pub(super) fn usd(field: Field<'_>) -> Option<NanoUsd> {
    field.parse(|text| {
        let amount: NanoUsd = text.parse().map_err(|e: crate::money::ParseMoneyError| e.to_string())?;
        budget::check_amount(amount).map(|()| amount).map_err(str::to_owned)
    })
}

fn name(field: Field<'_>) -> Option<String> {
    field.parse(|text| match budget::check_name(text) {
        // The ids of budgets of declared keys begin so.
        Ok(()) if text.starts_with(OF_DECLARED_KEY) => Err("a budget's name must not begin with `key:`"),
        Ok(()) => Ok(text.to_owned()),
        Err(why) => Err(why),
    })
}

fn subject(scope: Scope, field: Field<'_>) -> Option<String> {
    if scope == Scope::Provider {
        return field.text_and(|cx, at, path, provider| cx.check_provider(at, path, provider));
    }
    field.parse(|text| budget::check_subject(scope, text).map(|()| text.to_owned()))
}

/// Tells of none, or more than one, of the keys that say what a budget is for.
fn one_subject(section: &mut Section<'_>) {
    let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    let there = names.iter().filter(|name| section.cx.is_set(&format!("{}.{name}", section.path))).count();
    if there != 1 {
        let problem = format!("a budget is for exactly one of {}", names.join(", "));
        section.cx.fault_of(&section.path, problem, None);
    }
}

fn thresholds(field: Field<'_>) -> Option<Vec<u8>> {
    let (cx, path, at) = (field.cx, field.path.clone(), field.node.at);
    let percent = |field: Field<'_>| field.integer(1..=100).and_then(|percent| u8::try_from(percent).ok());
    let read = field.list(percent)?;
    budget::checked_thresholds(read).map_err(|why| cx.fault(at, &path, why, None)).ok()
}

fn default_thresholds() -> Vec<u8> {
    DEFAULT_THRESHOLDS.to_vec()
}

/// An amount of US dollars.
#[derive(JsonSchema)]
#[schemars(transparent, inline)]
#[expect(dead_code, reason = "describes the file")]
pub(super) struct Usd(#[schemars(regex(pattern = r"^\d+(\.\d{1,9})?$|\$\{"))] String);

/// A whole percent.
#[derive(JsonSchema)]
#[schemars(transparent, inline)]
#[expect(dead_code, reason = "describes the file")]
struct Percent(#[schemars(range(min = 1, max = 100))] u8);
