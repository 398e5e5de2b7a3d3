//! Which budgets a request is charged to.

use std::collections::HashMap;
use std::sync::Arc;

use super::Account;
use crate::budget::{Budget, Scope};

/// All budgets, by what they are for. Immutable: a change makes a new one that shares the accounts.
#[derive(Clone, Debug, Default)]
pub struct Index {
    accounts: HashMap<String, Arc<Account>>,
    subjects: HashMap<Scope, HashMap<String, Vec<Arc<Account>>>>,
}

/// What a request is, as far as budgets go.
#[derive(Clone, Debug, Default)]
pub struct LineOf<'a> {
    /// The key's id.
    pub key: Option<&'a str>,
    /// The key's user.
    pub user: Option<&'a str>,
    /// The key's team.
    pub team: Option<&'a str>,
    /// The key's organisation.
    pub organization: Option<&'a str>,
    /// The provider asked.
    pub provider: Option<&'a str>,
    /// The model as it was asked for.
    pub model: Option<&'a str>,
    /// The model as `provider/model`.
    pub target: Option<&'a str>,
    /// The request's tags.
    pub tags: &'a [(String, String)],
}

impl Index {
    /// Whether there is no budget at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Every account.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The account of a budget.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<Arc<Account>> {
        self.accounts.get(id).cloned()
    }

    /// The same with some budgets changed. A deleted one charges nobody any more, but keeps its account
    /// for the requests that hold some of it.
    pub(super) fn with(&self, changed: Vec<Budget>) -> Self {
        let mut accounts = self.accounts.clone();
        for budget in changed {
            match accounts.get(&budget.id) {
                Some(account) if account.budget().rev > budget.rev => {}
                Some(account) => account.replace(budget),
                None if budget.deleted_at.is_some() => {}
                None => {
                    accounts.insert(budget.id.clone(), Arc::new(Account::new(budget)));
                }
            }
        }
        let mut sorted: Vec<&Arc<Account>> = accounts.values().collect();
        sorted.sort_by_key(|account| account.budget().id.clone());
        let mut subjects: HashMap<Scope, HashMap<String, Vec<Arc<Account>>>> = HashMap::new();
        for account in sorted {
            let budget = account.budget();
            if budget.deleted_at.is_none() {
                let of = subjects.entry(budget.scope).or_default().entry(budget.subject.clone()).or_default();
                of.push(Arc::clone(account));
            }
        }
        Self { accounts, subjects }
    }

    /// Every budget that a request is charged to.
    pub(super) fn line(&self, of: &LineOf<'_>) -> Vec<Arc<Account>> {
        if self.subjects.is_empty() {
            return Vec::new();
        }
        let tags: Vec<String> = match self.subjects.contains_key(&Scope::Tag) {
            true => of.tags.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            false => Vec::new(),
        };
        let target = of.target.filter(|target| of.model != Some(*target));
        let single = [
            (Scope::Key, of.key),
            (Scope::User, of.user),
            (Scope::Team, of.team),
            (Scope::Organization, of.organization),
            (Scope::Provider, of.provider),
            (Scope::Model, of.model),
            (Scope::Model, target),
        ];
        let tags = tags.iter().map(|tag| (Scope::Tag, Some(tag.as_str())));
        let named = single.into_iter().chain(tags).filter_map(|(scope, subject)| Some((scope, subject?)));
        named.filter_map(|(scope, subject)| self.subjects.get(&scope)?.get(subject)).flatten().cloned().collect()
    }
}
