//! How long it takes to choose a target: the plan of a route of twenty, by each strategy. Run with `cargo bench`;
//! what is printed is the least of several rounds, in nanoseconds for one plan.

#![expect(clippy::print_stdout, reason = "what was measured is what this is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use weir::clock::Entropy;
use weir::config::{Config, ConfigSource, Format};
use weir::route::plan;
use weir::route::policy::Facts;
use weir::snapshot::{Route, Snapshot};
use weir_wire::usage::Usage;

/// Targets of the route.
const TARGETS: usize = 20;
/// Plans in a round.
const PLANS: u32 = 20_000;
const ROUNDS: usize = 15;
const STRATEGIES: [&str; 11] = [
    "priority",
    "round_robin",
    "weighted",
    "least_busy",
    "latency",
    "cost",
    "hash",
    "split",
    "capable",
    "auto",
    "conditional",
];

fn main() {
    let snapshot = snapshot();
    let chance = Entropy::system();
    for strategy in STRATEGIES {
        let route = snapshot.resolve(strategy).expect("the route is configured");
        println!("{strategy:12} {:6} ns", least(&route, &chance));
    }
}

/// A route for each strategy, over the same targets, with prices, limits and some history.
fn snapshot() -> Snapshot {
    let mut yaml = "providers:\n".to_owned();
    for n in 0..TARGETS {
        yaml += &format!(
            "  p{n}: {{ kind: openai-compatible, base_url: 'http://127.0.0.1:9/v1', api_key: k, limits: {{ rpm: 1000 }} }}\n"
        );
    }
    yaml += "models:\n";
    let targets: Vec<String> =
        (0..TARGETS).map(|n| format!("{{ id: t{n}, provider: p{n}, model: x, weight: {} }}", n + 1)).collect();
    for strategy in STRATEGIES {
        let rules = if strategy == "conditional" { ", rules: [{ if: request.stream, use: [t7, t3] }]" } else { "" };
        yaml += &format!("  {strategy}: {{ strategy: {strategy}{rules}, targets: [{}] }}\n", targets.join(", "));
    }
    yaml += "prices:\n";
    for n in 0..TARGETS {
        yaml += &format!("  p{n}/x: {{ input: \"{}\", output: \"{}\" }}\n", n + 1, 2 * n + 1);
    }
    let source = ConfigSource::Text { name: "bench.yaml".into(), text: yaml, format: Format::Yaml };
    let config = Config::load(&source, &|_| None, &weir::cli::known()).expect("the configuration is right");
    let snapshot = Snapshot::build(&config, &|_| None, 0).expect("it can be resolved");
    for route in STRATEGIES {
        let route = snapshot.resolve(route).expect("the route is configured");
        for (target, n) in route.targets.iter().zip(1u64..) {
            target.health.answered(1000 * n, 1);
            target.health.first_event(1200 * n, true, 1);
        }
    }
    snapshot
}

/// The least time of a plan, in nanoseconds.
fn least(route: &Arc<Route>, chance: &Entropy) -> u128 {
    let facts = Facts {
        now: 1_000_000,
        at: 0,
        chance,
        usage: Usage { input: 1000, output: 500, ..Usage::default() },
        affinity: &|_| Some(7),
        holds: &|_| true,
        regions: &[],
    };
    (0..ROUNDS).map(|_| round(route, &facts)).min().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a measurement is of real time")]
fn round(route: &Arc<Route>, facts: &Facts<'_>) -> u128 {
    let start = Instant::now();
    for _ in 0..PLANS {
        let mut steps = plan::order(black_box(route), black_box(facts));
        plan::complete(&mut steps, 75);
        black_box(&steps);
    }
    start.elapsed().as_nanos() / u128::from(PLANS)
}
