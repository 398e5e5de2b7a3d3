//! One workload: what was asked of one model name, what it cost, and what it would have cost elsewhere.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use weir_wire::usage::Usage;

use super::Candidate;
use super::speed::{Basis, ENOUGH, Speed};
use crate::money::NanoUsd;
use crate::record::Status;
use crate::snapshot::Target;
use crate::snapshot::kind::Kind;
use crate::store::usage::Walked;

/// Targets that are named of those that served it.
const MAX_NAMED: usize = 20;

/// What was asked of one model name.
pub(super) struct Workload {
    kind: Kind,
    model: String,
    requests: u64,
    /// Of which it is known what they cost now.
    compared: u64,
    /// What they cost then, and of how many that is known.
    paid: i128,
    /// What the compared ones cost now, where they were served.
    current: i128,
    /// What they cost at each candidate; `None` where it has no price for something they used.
    costs: Vec<Option<i128>>,
    usage: Usage,
    largest_prompt: u64,
    largest_output: u64,
    /// Good answers, by which its typical one is known.
    answers: u64,
    served_by: BTreeMap<String, u64>,
    speed: Speed,
}

/// A candidate for a workload.
struct Offer<'c> {
    candidate: &'c Candidate,
    cost: i128,
    saving: i128,
    lacks: Vec<String>,
}

impl Workload {
    pub(super) fn new(kind: Kind, model: &str, candidates: usize) -> Self {
        Self {
            kind,
            model: model.to_owned(),
            requests: 0,
            compared: 0,
            paid: 0,
            current: 0,
            costs: vec![Some(0); candidates],
            usage: Usage::default(),
            largest_prompt: 0,
            largest_output: 0,
            answers: 0,
            served_by: BTreeMap::new(),
            speed: Speed::default(),
        }
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// What it costs now, in nano-dollars.
    pub(super) fn current(&self) -> i128 {
        self.current
    }

    /// Adds a row. What it costs now is what its target asks for; where that is none any more, what it cost.
    pub(super) fn add(&mut self, row: &Walked, candidates: &[Candidate], places: &HashMap<String, usize>) {
        self.requests += 1;
        self.paid += row.cost.map_or(0, |cost| i128::from(cost.0));
        let last = row.attempts.last().map(|last| format!("{}/{}", last.provider, last.model));
        let last = last.unwrap_or_default();
        let target = places.get(&last).map(|place| &candidates[*place].target);
        *self.served_by.entry(last).or_default() += 1;
        self.speed.tried(row.attempts.last().map_or("", |last| &last.outcome), row.status);
        self.speed.timed(row);
        let then = || row.cost.map(|cost| i128::from(cost.0));
        let Some(now) = target.map_or_else(then, |target| price(target, row)) else { return };
        self.compared += 1;
        self.answers += u64::from(row.status == Some(Status::Ok));
        self.current += now;
        self.usage = self.usage.plus(&row.usage);
        self.largest_prompt = self.largest_prompt.max(row.usage.input);
        self.largest_output = self.largest_output.max(row.usage.output);
        for (sum, candidate) in self.costs.iter_mut().zip(candidates) {
            if candidate.target.is_for(self.kind) {
                *sum = sum.zip(price(&candidate.target, row)).map(|(sum, cost)| sum + cost);
            }
        }
    }

    pub(super) fn json(&self, candidates: &[Candidate]) -> Value {
        let mut served: Vec<(&String, &u64)> = self.served_by.iter().collect();
        served.sort_by_key(|(name, count)| (Reverse(**count), *name));
        let served: Vec<Value> = served
            .into_iter()
            .take(MAX_NAMED)
            .map(|(target, count)| json!({"target": target, "requests": count}))
            .collect();
        let (offers, not_priced) = self.offers(candidates);
        json!({
            "object": "recommendation",
            "model": self.model,
            "kind": self.kind.as_str(),
            "requests": self.requests,
            "compared_requests": self.compared,
            "tokens": {
                "input": self.usage.input,
                "cached": self.usage.cached,
                "cache_write": self.usage.cache_write,
                "output": self.usage.output,
                "reasoning": self.usage.reasoning,
            },
            "largest_prompt_tokens": self.largest_prompt,
            "largest_output_tokens": self.largest_output,
            "paid_usd": usd(self.paid),
            "current_usd": usd(self.current),
            "served_by": served,
            "speed": self.speed.json(),
            "candidates": offers.iter().map(|offer| self.offer_json(offer)).collect::<Vec<_>>(),
            "faster": self.faster(&offers),
            "not_priced": not_priced,
        })
    }

    /// Those with a price, those that fit first and the cheapest first; and those without one, by name. What costs
    /// nothing is not known to be free, but not known to cost.
    fn offers<'c>(&self, candidates: &'c [Candidate]) -> (Vec<Offer<'c>>, Vec<&'c str>) {
        let (mut offers, mut not_priced) = (Vec::new(), Vec::new());
        let only = if self.served_by.len() == 1 { self.served_by.keys().next() } else { None };
        let others = candidates.iter().zip(&self.costs).filter(|(candidate, _)| {
            candidate.target.is_for(self.kind) && only.is_none_or(|only| **only != *candidate.target.name)
        });
        if self.current > 0 {
            for (candidate, cost) in others {
                match cost.filter(|cost| *cost > 0) {
                    Some(cost) => {
                        let lacks = self.lacking(&candidate.target);
                        offers.push(Offer { candidate, cost, saving: self.current - cost, lacks });
                    }
                    None => not_priced.push(&*candidate.target.name),
                }
            }
        }
        offers.sort_by(|a, b| {
            let key = |offer: &Offer<'_>| (!offer.lacks.is_empty(), Reverse(offer.saving));
            key(a).cmp(&key(b)).then_with(|| a.candidate.target.name.cmp(&b.candidate.target.name))
        });
        (offers, not_priced)
    }

    /// What the workload used and the target is known not to take.
    fn lacking(&self, target: &Target) -> Vec<String> {
        let can = &target.capabilities;
        let mut lacks = Vec::new();
        let info = target.info.as_ref();
        if let Some(most) = info.and_then(|info| info.max_input.or(info.context_window))
            && self.largest_prompt > most
        {
            lacks.push(format!("a prompt of {} tokens does not fit: it takes {most}", self.largest_prompt));
        }
        if let Some(most) = info.and_then(|info| info.max_output).filter(|most| *most > 0)
            && self.kind == Kind::Conversation
            && self.largest_output > most
        {
            lacks.push(format!("an answer of {} tokens does not fit: it writes {most} at most", self.largest_output));
        }
        let media = [
            (self.usage.image_input > 0 && !can.images, "it takes no images"),
            (self.usage.audio_input > 0 && !can.audio, "it takes no audio"),
        ];
        lacks.extend(media.iter().filter(|(lacks, _)| *lacks).map(|(_, what)| (*what).to_owned()));
        lacks
    }

    fn offer_json(&self, offer: &Offer<'_>) -> Value {
        let Candidate { target, routes, speed } = offer.candidate;
        json!({
            "target": &*target.name,
            "provider": &*target.provider.id,
            "model": &*target.model,
            "routes": routes,
            "is_in_use": self.served_by.contains_key(&*target.name),
            "fits": offer.lacks.is_empty(),
            "cost_usd": usd(offer.cost),
            "saving_usd": usd(offer.saving),
            "saving_percent": percent(offer.saving, self.current),
            "speed": speed.json(),
            "caveats": self.caveats(offer),
        })
    }

    fn caveats(&self, offer: &Offer<'_>) -> Vec<String> {
        let mut caveats = offer.lacks.clone();
        let target = &offer.candidate.target;
        match offer.candidate.speed.samples() {
            0 => caveats.push("no measurements".to_owned()),
            few if few < ENOUGH => caveats.push(format!("few measurements: {few}")),
            _ => {}
        }
        match &target.info {
            None => caveats.push("the catalogue does not know it: nor what it takes".to_owned()),
            Some(info) => {
                caveats.extend(info.deprecation.iter().map(|day| format!("its provider switches it off on {day}")))
            }
        }
        if self.kind == Kind::Embeddings {
            caveats.push("its vectors do not compare with those of another model".to_owned());
        }
        caveats
    }

    /// Those that would answer sooner, by how much, where both were measured alike.
    fn faster(&self, offers: &[Offer<'_>]) -> Vec<Value> {
        let output = self.usage.output / self.answers.max(1);
        let mut faster: Vec<(u64, u64, Value)> = offers
            .iter()
            .filter(|offer| offer.lacks.is_empty())
            .filter_map(|offer| {
                let (basis, now, then) = Basis::ALL.into_iter().find_map(|basis| {
                    let now = self.speed.typical(basis, self.kind, output)?;
                    Some((basis, now, offer.candidate.speed.typical(basis, self.kind, output)?))
                })?;
                let told = json!({
                    "target": &*offer.candidate.target.name,
                    "answer_ms": then,
                    "current_answer_ms": now,
                    "answer_tokens": output,
                    "measured_by": basis.as_str(),
                    "faster_percent": percent(i128::from(now) - i128::from(then), i128::from(now)),
                    "saving_usd": usd(offer.saving),
                });
                (then < now).then_some((then, now, told))
            })
            .collect();
        // The same workload may be measured by streams at one and not at another.
        faster.sort_by_key(|(then, now, _)| u128::from(*then) * 1_000_000 / u128::from((*now).max(1)));
        faster.into_iter().map(|(.., told)| told).collect()
    }
}

/// What a row costs at a target now; `None` where it has no price for all of it.
fn price(target: &Target, row: &Walked) -> Option<i128> {
    if row.usage.is_zero() {
        return Some(0);
    }
    let cost = target.price.as_ref()?.cost(&row.usage, row.tier.as_deref(), row.at);
    (!cost.unpriced).then_some(i128::from(cost.nano.0))
}

fn usd(nano: i128) -> NanoUsd {
    NanoUsd(i64::try_from(nano).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX }))
}

/// A share in percent with one place, rounded down; null of nothing.
pub(super) fn percent(part: i128, whole: i128) -> Value {
    if whole == 0 {
        return Value::Null;
    }
    let tenths = i32::try_from((part * 1_000).div_euclid(whole)).unwrap_or(if part < 0 { i32::MIN } else { i32::MAX });
    json!(f64::from(tenths) / 10.0)
}
