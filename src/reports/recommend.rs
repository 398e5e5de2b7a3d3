//! Which configured models would have been cheaper or faster for what was asked: every row of a range is priced anew at
//! each of them, at the prices now in force, in all its token classes, its tier and its hour; and what is known of their
//! speed is what rows tell.
//!
//! Nothing is sampled or extrapolated: of more rows than are read, the newest are compared, and the answer says so.

mod speed;
mod workload;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use self::speed::Speed;
use self::workload::Workload;
use super::zone::DAY;
use crate::clock::UnixMs;
use crate::record::rfc3339;
use crate::snapshot::kind::Kind;
use crate::snapshot::{Snapshot, Target};
use crate::store::usage::{Filter, GroupBy, Walk, Walked, top, walk};
use crate::store::{Db, StoreError};

/// Longest range.
pub const MAX_RANGE: UnixMs = 92 * DAY;
/// Most rows that are read; of more, the newest.
pub const MAX_ROWS: usize = 100_000;
/// Rows that are read at once.
const PAGE: u32 = 500;
/// Most models that are compared.
const MAX_CANDIDATES: usize = 100;
/// Most workloads that are told apart.
const MAX_WORKLOADS: usize = 1_000;
/// Most workloads that are shown, the dearest.
const MAX_SHOWN: usize = 100;

/// What an answer takes for granted.
const NOTES: [&str; 7] = [
    "the same tokens are assumed at every model: in truth tokenizers differ, and so does how much a model writes and thinks",
    "a request counts with all that its row has: also what tries used whose answer nobody got (a hedge that was slower, a time-out, a filter)",
    "as many tokens are assumed to be read from caches and written to them",
    "prices are those now in force, at each request's own hour; a service tier that a model has no price for costs the standard price there",
    "rows do not tell whether tools, files or response formats were asked for, nor images whose tokens the provider did not report apart: see whether a candidate takes them",
    "how good answers are nobody has measured: try a candidate on a part of the traffic first (strategy: split, or shadow traffic)",
    "speed is as measured at this gateway, of requests that needed one try; success is of all tries",
];

/// A question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// From this time on.
    pub from: UnixMs,
    /// Before this time.
    pub to: UnixMs,
    /// What was asked of this model alone.
    pub model: Option<String>,
    /// By this virtual key alone.
    pub key: Option<String>,
    /// By this team alone.
    pub team: Option<String>,
    /// Most rows that are read, [`MAX_ROWS`] at most.
    pub rows: usize,
}

impl Ask {
    fn is_about(&self, row: &Walked) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        same(&self.model, &row.model) && same(&self.team, &row.team_id)
    }
}

/// A model that requests may go to, and how it did.
struct Candidate {
    target: Arc<Target>,
    /// The configured names that lead to it.
    routes: Vec<String>,
    speed: Speed,
}

/// Everything that was read.
struct Found {
    candidates: Vec<Candidate>,
    /// Places among the candidates, by `provider/model`.
    places: HashMap<String, usize>,
    workloads: BTreeMap<(Kind, String), Workload>,
    rows: usize,
    /// Requests that belong to none: beyond the bound, or passed through by path.
    others: u64,
}

/// The answer, as `/admin/v1/recommendations` gives it.
///
/// # Errors
/// As any call to the store.
pub async fn recommend(db: &Db, snapshot: &Snapshot, ask: &Ask) -> Result<Value, StoreError> {
    let mut found = Found::new(candidates(db, snapshot, ask).await?);
    let all = Walk { from: ask.from, to: ask.to, key: None };
    let compared_from = match ask.key.as_deref() {
        None => found.read(db, &all, ask.rows, |found, row| found.take(row, ask, true)).await?,
        key => {
            let from = found.read(db, &Walk { key, ..all }, ask.rows, |found, row| found.take(row, ask, false)).await?;
            // How fast the others are, everybody's requests tell.
            found.read(db, &all, ask.rows, Found::measure).await?;
            from
        }
    };
    Ok(found.answer(ask, compared_from))
}

/// The targets of configured routes, and others that were asked for by their own names, if they have a price.
async fn candidates(db: &Db, snapshot: &Snapshot, ask: &Ask) -> Result<Vec<Candidate>, StoreError> {
    let filter = Filter { from: Some(ask.from), to: Some(ask.to), ..Filter::default() };
    let most = u32::try_from(MAX_CANDIDATES).unwrap_or(u32::MAX);
    let used = top(db, &filter, &[GroupBy::Model], most).await?;
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut add = |target: &Arc<Target>, route: Option<&str>| {
        if target.provider.demo {
            return;
        }
        let is_full = candidates.len() >= MAX_CANDIDATES;
        let known = candidates.iter_mut().find(|known| known.target.name == target.name);
        match (known, route) {
            (Some(known), Some(route)) if !known.routes.iter().any(|name| name == route) => {
                known.routes.push(route.to_owned());
            }
            (None, _) if !is_full => {
                let routes = route.into_iter().map(ToOwned::to_owned).collect();
                candidates.push(Candidate { target: Arc::clone(target), routes, speed: Speed::default() });
            }
            _ => {}
        }
    };
    for (name, route) in &snapshot.routes {
        route.targets.iter().for_each(|target| add(target, Some(name)));
    }
    let direct = used.iter().filter_map(|total| total.group.first()?.as_deref());
    for route in direct.filter_map(|name| snapshot.resolve(name).ok()).filter(|route| !route.configured) {
        route.targets.iter().filter(|target| target.price.is_some()).for_each(|target| add(target, None));
    }
    Ok(candidates)
}

impl Found {
    fn new(candidates: Vec<Candidate>) -> Self {
        let places = candidates.iter().enumerate().map(|(n, one)| (one.target.name.to_string(), n)).collect();
        Self { candidates, places, workloads: BTreeMap::new(), rows: 0, others: 0 }
    }

    /// Reads rows from the newest back. Answers from which moment on all were read, if not from the first.
    async fn read(
        &mut self,
        db: &Db,
        range: &Walk<'_>,
        most: usize,
        mut take: impl FnMut(&mut Self, &Walked),
    ) -> Result<Option<UnixMs>, StoreError> {
        let mut read = 0;
        let mut last: Option<(UnixMs, String)> = None;
        loop {
            let page = walk(db, range, last.as_ref().map(|(at, id)| (*at, id.as_str())), PAGE).await?;
            page.iter().for_each(|row| take(self, row));
            read += page.len();
            let Some(row) = page.last().filter(|_| page.len() == PAGE as usize) else { return Ok(None) };
            if read >= most.min(MAX_ROWS) {
                return Ok(Some(row.at));
            }
            last = Some((row.at, row.id.clone()));
        }
    }

    /// A row of everybody's or of the key's that is asked about.
    fn take(&mut self, row: &Walked, ask: &Ask, measures: bool) {
        if measures {
            self.measure(row);
        }
        if !ask.is_about(row) || row.attempts.is_empty() {
            return;
        }
        self.rows += 1;
        let (Some(kind), Some(model)) = (Kind::of_endpoint(&row.endpoint), &row.model) else {
            self.others += 1;
            return;
        };
        let key = (kind, model.clone());
        if !self.workloads.contains_key(&key) && self.workloads.len() >= MAX_WORKLOADS {
            self.others += 1;
            return;
        }
        let count = self.candidates.len();
        let workload = self.workloads.entry(key).or_insert_with(|| Workload::new(kind, model, count));
        workload.add(row, &self.candidates, &self.places);
    }

    /// What a row tells of the speed of who was asked.
    fn measure(&mut self, row: &Walked) {
        for (n, attempt) in row.attempts.iter().enumerate() {
            let name = format!("{}/{}", attempt.provider, attempt.model);
            let Some(place) = self.places.get(&name) else { continue };
            let is_last = n + 1 == row.attempts.len();
            let speed = &mut self.candidates[*place].speed;
            speed.tried(&attempt.outcome, row.status.filter(|_| is_last));
            if row.attempts.len() == 1 {
                speed.timed(row);
            }
        }
    }

    fn answer(&self, ask: &Ask, compared_from: Option<UnixMs>) -> Value {
        let mut workloads: Vec<&Workload> = self.workloads.values().collect();
        workloads.sort_by(|a, b| b.current().cmp(&a.current()).then_with(|| a.model().cmp(b.model())));
        let has_more = workloads.len() > MAX_SHOWN;
        let data: Vec<Value> = workloads.iter().take(MAX_SHOWN).map(|one| one.json(&self.candidates)).collect();
        json!({
            "object": "list",
            "since": rfc3339(compared_from.unwrap_or(ask.from)),
            "until": rfc3339(ask.to),
            "is_complete": compared_from.is_none(),
            "requests": self.rows,
            "not_compared_requests": self.others,
            "data": data,
            "notes": NOTES,
            "has_more": has_more,
            "next_cursor": null,
        })
    }
}
