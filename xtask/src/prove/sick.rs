//! Proof `sick`: one of three upstreams falls ill, and after a few seconds those who ask notice nothing of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::Lab;
use super::process::{Disk, Spec, Weir};
use super::wire::Wire;
use crate::shell::{Result, TempDir};
use pulse::{Beat, Pulse};
use upstream::{Illness, Upstream};

mod pulse;
mod upstream;

/// What goes wrong, each on a gateway of its own.
const ILLNESSES: [Illness; 5] = [Illness::Refuses, Illness::BlackHole, Illness::Stalls, Illness::Fails, Illness::Cuts];
/// Routes over the same three upstreams, named after their strategies; each has models of its own, so that none learns
/// from another.
const ROUTES: &[&str] = &["priority", "round_robin", "latency", "weighted", "least_busy"];
/// Of them in the short form.
const FEW: usize = 3;
/// What may be slow at the beginning of an illness. Nothing may fail even then.
const ONSET: Duration = Duration::from_secs(5);
/// How much longer than in health the slowest of a hundred requests may take, on each route.
const MAX_RATIO: f64 = 1.2;
/// The same where a hundred requests have to do, on a machine that does other things: of ten requests, on all routes.
const MAX_SHORT_RATIO: f64 = 2.0;
/// So many in a million may fail.
const MAX_FAILED: u64 = 100;
/// A bound that does not hold is tried so often: what else the machine does is not the gateway's.
const ROUNDS: usize = 3;

/// How long, how often and how strictly.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// Requests a second.
    rate: u32,
    /// How long in health; in sickness after its onset.
    healthy: Duration,
    sick: Duration,
    /// The routes that are asked, and whether each has to hold by itself.
    routes: &'static [&'static str],
    apart: bool,
    /// The share of requests, in percent, that is looked at, and how much slower it may be.
    percentile: usize,
    ratio: f64,
}

impl Measure {
    /// What a group of requests is called.
    fn name(&self, route: usize) -> &'static str {
        if self.apart { self.routes[route] } else { "all routes" }
    }
}

/// On SQLite: no database has a part in it.
pub(super) async fn prove(lab: &Lab) -> Result {
    let seconds = Duration::from_secs;
    let whole = Measure {
        rate: 200,
        healthy: seconds(15),
        sick: seconds(25),
        routes: ROUTES,
        apart: true,
        percentile: 99,
        ratio: MAX_RATIO,
    };
    if lab.short {
        let (healthy, sick, routes) = (seconds(3), seconds(4), &ROUTES[..FEW]);
        let ratio = MAX_SHORT_RATIO;
        return at_once(lab, Measure { rate: 30, healthy, sick, routes, apart: false, percentile: 90, ratio }).await;
    }
    for illness in ILLNESSES {
        one(lab, illness, whole).await?;
    }
    Ok(())
}

/// All illnesses beside each other.
async fn at_once(lab: &Lab, measure: Measure) -> Result {
    let mut rounds = JoinSet::new();
    for illness in ILLNESSES {
        let ward = Ward::open(lab, illness, measure.routes).await?;
        rounds.spawn(async move { (illness, ward.round(measure).await) });
    }
    while let Some(done) = rounds.join_next().await {
        let (illness, figures) = done?;
        let figures = figures?;
        figures.tell(illness, measure);
        figures.hold(illness, measure)?;
    }
    Ok(())
}

/// One after the other: of several rounds the best figures count on each side, and a failure counts in each.
async fn one(lab: &Lab, illness: Illness, measure: Measure) -> Result {
    let mut best: Option<Figures> = None;
    let mut round = 1;
    loop {
        let figures = Ward::open(lab, illness, measure.routes).await?.round(measure).await?;
        figures.tell(illness, measure);
        let all = best.take().map_or_else(|| figures.clone(), |best| best.and(figures.clone()));
        let held = all.hold(illness, measure);
        if held.is_ok() || round == ROUNDS || all.fails().is_err() {
            return Ok(held?);
        }
        best = Some(all);
        round += 1;
    }
}

/// A gateway before three upstreams, and its clients.
#[derive(Debug)]
struct Ward {
    illness: Illness,
    /// The first is the one that falls ill.
    upstreams: [Upstream; 3],
    pulse: Arc<Pulse>,
    _weir: Weir,
    _directory: TempDir,
}

impl Ward {
    async fn open(lab: &Lab, illness: Illness, routes: &'static [&'static str]) -> Result<Self> {
        let upstreams = [Upstream::start()?, Upstream::start()?, Upstream::start()?];
        let directory = TempDir::new("prove")?;
        let spec = Spec {
            binary: lab.binary.clone(),
            config: config(&upstreams, routes),
            directory: directory.path().to_path_buf(),
            log: lab.logs.join(format!("sick-{illness:?}.log").to_lowercase()),
            disk: Disk::Plain,
        };
        let weir = Weir::start(spec).await?;
        let (_, key) = weir.ledger().create_key(&json!({ "name": "sick" })).await?;
        let pulse = Arc::new(Pulse::new(weir.url.clone(), key, routes));
        Ok(Self { illness, upstreams, pulse, _weir: weir, _directory: directory })
    }

    /// In health, then in sickness.
    async fn round(&self, measure: Measure) -> Wire<Figures> {
        // What a process does first takes longer.
        let warm = self.pulse.beat(measure.rate, Duration::from_secs(1)).await?;
        let healthy = self.pulse.beat(measure.rate, measure.healthy).await?;
        let sick = &self.upstreams[0];
        sick.falls(self.illness).await?;
        let before = sick.calls();
        let ill = self.pulse.beat(measure.rate, ONSET + measure.sick).await?;
        let lost = sick.lost();
        let mut figures = Figures { calls: sick.calls() - before, lost: lost.len(), ..Figures::default() };
        for beat in warm.iter().chain(&healthy).chain(&ill) {
            figures.count(beat, lost.contains(&beat.number));
        }
        for route in 0..if measure.apart { measure.routes.len() } else { 1 } {
            let of = |beat: &Beat| !measure.apart || beat.route == route;
            figures.healthy.push(times(&healthy, Duration::ZERO, measure.percentile, of));
            figures.ill.push(times(&ill, ONSET, measure.percentile, of));
        }
        Ok(figures)
    }
}

/// The median of these requests from a moment on, and another percentile.
fn times(beats: &[Beat], from: Duration, percentile: usize, of: impl Fn(&Beat) -> bool) -> Times {
    let chosen = beats.iter().filter(|beat| beat.at >= from && of(beat));
    let mut times: Vec<Duration> = chosen.map(|beat| beat.took).collect();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    Times { middle: at(50), late: at(percentile) }
}

/// What a user would write who serves people that wait: no time for those that do not answer within a second.
fn config(upstreams: &[Upstream; 3], routes: &[&str]) -> String {
    let mut config = "logging: { format: json }\nproviders:\n".to_owned();
    for (name, upstream) in NAMES.iter().zip(upstreams) {
        config += &format!(
            "  {name}: {{ kind: openai-compatible, base_url: \"{}\", timeouts: {{ connect: 1s, first_byte: 1s }} }}\n",
            upstream.url
        );
    }
    config += "models:\n";
    for route in routes {
        let targets = NAMES.map(|name| format!("{{ provider: {name}, model: {route} }}"));
        config += &format!("  {route}: {{ strategy: {route}, targets: [{}] }}\n", targets.join(", "));
    }
    config
}

/// The providers; under `priority` the one that falls ill is the first.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Times of a route's requests.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    middle: Duration,
    late: Duration,
}

impl Times {
    fn least(self, other: Self) -> Self {
        Self { middle: self.middle.min(other.middle), late: self.late.min(other.late) }
    }
}

/// What came of a round, or of several.
#[derive(Clone, Debug, Default)]
struct Figures {
    requests: u64,
    /// Requests that were not answered whole although they could have been.
    failed: u64,
    first_failure: Option<String>,
    /// Streams that were cut after their first event; of them those whose client was not told.
    lost: usize,
    untold: u64,
    /// How often the sick upstream was called while it was ill.
    calls: u64,
    /// Of each route.
    healthy: Vec<Times>,
    ill: Vec<Times>,
}

impl Figures {
    /// A stream that breaks after its first event cannot be saved: its client has a part of it. It must be told, by an
    /// error event.
    fn count(&mut self, beat: &Beat, was_lost: bool) {
        self.requests += 1;
        match &beat.outcome {
            Err(why) if was_lost && why.contains("error") => {}
            Ok(()) if !was_lost => {}
            _ if was_lost => self.untold += 1,
            Err(why) => {
                self.failed += 1;
                let words = || format!("request {} on {}: {why}", beat.number, ROUTES[beat.route]);
                self.first_failure.get_or_insert_with(words);
            }
            Ok(()) => {}
        }
    }

    fn and(mut self, other: Self) -> Self {
        let least = |a: &[Times], b: &[Times]| a.iter().zip(b).map(|(a, b)| a.least(*b)).collect();
        self.requests += other.requests;
        self.failed += other.failed;
        self.first_failure = self.first_failure.or(other.first_failure);
        self.lost += other.lost;
        self.untold += other.untold;
        self.calls += other.calls;
        self.healthy = least(&self.healthy, &other.healthy);
        self.ill = least(&self.ill, &other.ill);
        self
    }

    /// Of the routes the one that an illness makes slowest, and by how much.
    fn worst(&self) -> (usize, f64) {
        let ratio = |(well, ill): (&Times, &Times)| ill.late.as_secs_f64() / well.late.as_secs_f64().max(1e-9);
        let ratios = self.healthy.iter().zip(&self.ill).map(ratio).enumerate();
        ratios.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
    }

    fn tell(&self, illness: Illness, measure: Measure) {
        let (route, ratio) = self.worst();
        let (well, ill) = (self.healthy[route], self.ill[route]);
        println!(
            "   {illness:?}: {} requests, {} failed, {} streams cut under way; {} calls of the sick one; \
             p50 {:.1?} and p{} {:.1?} in health, {:.1?} and {:.1?} in sickness ({ratio:.2} times, {})",
            self.requests,
            self.failed,
            self.lost,
            self.calls,
            well.middle,
            measure.percentile,
            well.late,
            ill.middle,
            ill.late,
            measure.name(route),
        );
    }

    /// Whether too many failed, or any were left without a word.
    fn fails(&self) -> Wire<()> {
        if self.failed * 1_000_000 > MAX_FAILED * self.requests {
            let first = self.first_failure.as_deref().unwrap_or_default();
            return Err(format!("{} of {} requests failed; the first: {first}", self.failed, self.requests));
        }
        if self.untold > 0 {
            return Err(format!("{} streams that were cut do not say so", self.untold));
        }
        Ok(())
    }

    fn hold(&self, illness: Illness, measure: Measure) -> Wire<()> {
        self.fails().map_err(|why| format!("{illness:?}: {why}"))?;
        let ((route, ratio), most) = (self.worst(), measure.ratio);
        if ratio > most {
            let (route, percentile) = (measure.name(route), measure.percentile);
            return Err(format!(
                "{illness:?}: p{percentile} of {route} is {ratio:.2} times that in health, not {most}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(route: usize, took: u64, outcome: Wire<()>) -> Beat {
        Beat { number: 1, route, at: ONSET, took: Duration::from_millis(took), outcome }
    }

    #[test]
    fn a_percentile_is_one_of_its_own_route_and_time() {
        let mut beats: Vec<Beat> = (1..=100).map(|ms| beat(0, ms, Ok(()))).collect();
        beats.extend((0..100).map(|_| beat(1, 900, Ok(()))));
        beats.push(Beat { at: Duration::ZERO, ..beat(0, 5_000, Ok(())) });
        let times = times(&beats, ONSET, 99, |beat| beat.route == 0);
        assert_eq!((times.middle, times.late), (Duration::from_millis(51), Duration::from_millis(100)));
    }

    #[test]
    fn a_cut_stream_is_no_failure_where_its_client_was_told() {
        let mut figures = Figures::default();
        figures.count(&beat(0, 1, Err("Broken(\"{\"error\":..\")".to_owned())), true);
        figures.count(&beat(0, 1, Ok(())), false);
        assert_eq!((figures.failed, figures.untold, figures.fails().is_ok()), (0, 0, true));
        figures.count(&beat(0, 1, Ok(())), true);
        assert_eq!((figures.untold, figures.fails().is_err()), (1, true));
    }

    #[test]
    fn one_failure_in_ten_thousand_is_borne_and_two_are_not() {
        let mut figures = Figures { requests: 9_999, ..Figures::default() };
        figures.count(&beat(0, 1, Err("500".to_owned())), false);
        assert!(figures.fails().is_ok());
        figures.count(&beat(2, 1, Err("500".to_owned())), false);
        assert!(figures.fails().unwrap_err().contains("on priority: 500"));
    }

    #[test]
    fn the_slowest_route_decides() {
        let time = |ms| Times { middle: Duration::ZERO, late: Duration::from_millis(ms) };
        let figures =
            Figures { healthy: vec![time(100), time(100)], ill: vec![time(110), time(130)], ..Figures::default() };
        let measure =
            Measure { rate: 1, healthy: ONSET, sick: ONSET, routes: ROUTES, apart: true, percentile: 99, ratio: 1.2 };
        assert!(figures.hold(Illness::Stalls, measure).unwrap_err().contains("round_robin is 1.30 times"));
        let better =
            Figures { healthy: vec![time(90), time(110)], ill: vec![time(100), time(120)], ..Figures::default() };
        let best = figures.and(better);
        assert!((best.worst().1 - 1.2).abs() < 1e-9, "{:?}", best.worst());
    }
}
