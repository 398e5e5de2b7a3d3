//! The judge: joins what clients saw, what the upstream did and what the ledger says by request id, and names every
//! disagreement. docs/proofs.md lists the rules in words.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::ask::{Id, id_text};
use super::ledger::{Row, Sums, Totals};
use super::load::{End, Sent, SentLog};
use super::tariff::{Nano, Tariffs, Tokens, usd};
use super::truth::{Call, Ending};

/// A disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A request that must have a row has none.
    Lost(Id, &'static str),
    /// A request has several rows.
    Doubled(Id, usize),
    /// A row that no request explains, by its id.
    Causeless(String),
    /// A row says something that is not so: what it says, and what is so.
    Wrong(Id, String, String),
    /// A total is not the sum of its rows: its group, the total, the sum.
    Sums(String, String, String),
    /// More was spent at the upstream than a budget allows: its name, the limit, what was spent.
    Overshoot(String, Nano, Nano),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id, why) => write!(f, "lost: {} has no row ({why})", id_text(*id)),
            Self::Doubled(id, rows) => write!(f, "doubled: {} has {rows} rows", id_text(*id)),
            Self::Causeless(name) => write!(f, "no cause: row {name} belongs to no request"),
            Self::Wrong(id, row, truth) => write!(f, "wrong: {}: the row says {row}; {truth}", id_text(*id)),
            Self::Sums(group, total, sum) => write!(f, "sums: {group}: {total}, its rows are {sum}"),
            Self::Overshoot(budget, limit, spent) => {
                write!(f, "overshoot: {budget} allows {}, {} was spent", usd(*limit), usd(*spent))
            }
        }
    }
}

/// What is joined.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// What the clients saw.
    pub(super) sent: &'a SentLog,
    /// What the upstream did.
    pub(super) calls: &'a [Call],
    /// What the ledger says.
    pub(super) rows: &'a [Row],
    /// The ids of the keys that the clients name by number.
    pub(super) keys: &'a [String],
    /// Prices.
    pub(super) tariffs: &'a Tariffs,
    /// A gateway was killed: a refusal that cost nothing may have gone with it.
    pub(super) killed: bool,
}

impl Evidence<'_> {
    /// Every disagreement, by request.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut rows: HashMap<Id, Vec<&Row>> = HashMap::with_capacity(self.rows.len());
        for row in self.rows {
            match row.id.filter(|id| self.sent.contains_key(id)) {
                Some(id) => rows.entry(id).or_default().push(row),
                None => faults.push(Fault::Causeless(row.id.map_or_else(|| row.name.clone(), id_text))),
            }
        }
        let mut calls: HashMap<Id, Vec<&Call>> = HashMap::with_capacity(self.calls.len());
        for call in self.calls {
            calls.entry(call.id).or_default().push(call);
        }
        let mut ids: Vec<&Id> = self.sent.keys().collect();
        ids.sort_unstable();
        for id in ids {
            let rows = rows.get(id).map_or(&[][..], Vec::as_slice);
            let calls = calls.get(id).map_or(&[][..], Vec::as_slice);
            self.request(*id, &self.sent[id], calls, rows, &mut faults);
        }
        faults
    }

    fn request(&self, id: Id, sent: &Sent, calls: &[&Call], rows: &[&Row], faults: &mut Vec<Fault>) {
        match rows {
            [] => faults.extend(self.why_needed(sent, calls).map(|why| Fault::Lost(id, why))),
            [row] => {
                let mut wrong = |says: String, so: String| faults.push(Fault::Wrong(id, says, so));
                self.seen_by_client(sent, row, &mut wrong);
                self.own_sum(sent, row, &mut wrong);
                self.seen_by_upstream(calls, row, &mut wrong);
            }
            more => faults.push(Fault::Doubled(id, more.len())),
        }
    }

    /// Why there must be a row, if there must.
    fn why_needed(&self, sent: &Sent, calls: &[&Call]) -> Option<&'static str> {
        if !calls.is_empty() {
            return Some("its upstream was called");
        }
        match &sent.end {
            End::Whole => Some("its client has the whole answer"),
            // What there is no room for gets no row, by design.
            End::Refused { status: 503, .. } => None,
            End::Refused { .. } if !self.killed => Some("its client was refused"),
            _ => None,
        }
    }

    /// What the client saw agrees with the row.
    fn seen_by_client(&self, sent: &Sent, row: &Row, wrong: &mut impl FnMut(String, String)) {
        match &sent.end {
            End::Whole if row.status != "ok" => wrong(row.status.clone(), "its client has the whole answer".to_owned()),
            End::Refused { status, code, .. } if row.http_status != *status || row.status == "ok" => wrong(
                format!("{} with HTTP status {}", row.status, row.http_status),
                format!("its client was refused with {status} {code}"),
            ),
            End::Unsent => wrong(row.status.clone(), "it was never sent".to_owned()),
            _ => {}
        }
        let key = self.keys.get(usize::from(sent.key));
        // It was over before it was known whose key that is.
        let early = matches!(sent.end, End::Refused { status: 503, .. } | End::Left(_) | End::Broken(_));
        let unasked = row.key.is_none() && row.tries == 0 && early;
        if row.key.as_ref() != key && !unasked {
            wrong(format!("key {:?}", row.key), format!("key {key:?} asked"));
        }
        if let (End::Whole, Some(told)) = (&sent.end, sent.told)
            && row.cost != Some(told)
        {
            wrong(cost_text(row.cost), format!("its client was told {}", usd(told)));
        }
    }

    /// The row's cost is what its own tokens cost.
    fn own_sum(&self, sent: &Sent, row: &Row, wrong: &mut impl FnMut(String, String)) {
        let own = match row.tried {
            _ if row.tokens == Tokens::default() => Some(0),
            Some(model) => Some(self.tariffs.cost(model, row.tokens)),
            // Not yet at an upstream when the gateway was killed: what it would have cost is its affair.
            None if row.status == "interrupted" => return,
            None => None,
        };
        if row.cost != own {
            let truth =
                format!("{:?} of its {:?} cost {} (client: {:?})", row.tokens, row.tried, cost_text(own), sent.end);
            wrong(cost_text(row.cost), truth);
        }
    }

    /// What the upstream did agrees with the row.
    fn seen_by_upstream(&self, calls: &[&Call], row: &Row, wrong: &mut impl FnMut(String, String)) {
        if row.status != "interrupted" && calls.len() > row.tries {
            wrong(format!("{} tries", row.tries), format!("its upstream was called {} times", calls.len()));
        }
        let Some(last) = calls.last() else {
            let nothing = row.tokens == Tokens::default() || matches!(row.status.as_str(), "cancelled" | "interrupted");
            if row.status == "ok" || !nothing {
                wrong(format!("{} with {:?}", row.status, row.tokens), "its upstream was never called".to_owned());
            }
            return;
        };
        let exact = !row.estimated && last.reported == Some(row.tokens) && row.tried == Some(last.model);
        let says =
            || format!("{}, {:?}, {}, estimated: {}", row.status, row.tokens, cost_text(row.cost), row.estimated);
        let truth = || format!("its upstream's last call: {last:?}");
        let good = match row.status.as_str() {
            "ok" if last.reported.is_some() => exact && last.ending == Ending::Finished,
            "ok" => row.estimated && last.ending == Ending::Finished,
            "interrupted" => row.estimated,
            // Somebody worked for a client that left: as reported, or counted, but not for nothing in silence.
            "cancelled" if last.worked() => exact || row.estimated,
            _ => exact || row.estimated || row.tokens == Tokens::default(),
        };
        if !good {
            wrong(says(), truth());
        }
    }
}

fn cost_text(cost: Option<Nano>) -> String {
    cost.map_or_else(|| "no cost".to_owned(), usd)
}

/// Compares totals with the sums of the rows; `group` names a row's group.
pub(super) fn sums(what: &str, rows: &[Row], totals: &Totals, group: impl Fn(&Row) -> Vec<String>) -> Vec<Fault> {
    let mut own: Totals = BTreeMap::new();
    for row in rows {
        own.entry(group(row)).or_default().add(row);
    }
    let mut names: Vec<&Vec<String>> = own.keys().chain(totals.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let text =
        |sums: Option<&Sums>| sums.map_or_else(|| "nothing".to_owned(), |sums| format!("{sums:?}, {}", usd(sums.cost)));
    let differing = names.into_iter().filter(|name| own.get(*name) != totals.get(*name));
    differing.map(|name| Fault::Sums(format!("{what} {name:?}"), text(totals.get(name)), text(own.get(name)))).collect()
}

/// What the upstream's work has cost, of the requests that `belongs` to a budget: every call, whether its answer
/// reached anybody or not.
pub(super) fn spent(sent: &SentLog, calls: &[Call], belongs: impl Fn(&Sent) -> bool) -> Nano {
    let of = |call: &&Call| call.worked() && sent.get(&call.id).is_some_and(&belongs);
    calls.iter().filter(of).map(|call| call.cost).sum()
}

/// Whether the upstream's work has cost more than a budget allows.
pub(super) fn cap(budget: &str, limit: Nano, spent: Nano) -> Option<Fault> {
    (spent > limit).then(|| Fault::Overshoot(budget.to_owned(), limit, spent))
}

#[cfg(test)]
mod tests;
