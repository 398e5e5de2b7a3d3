//! Proof `budget`: more work at once than budgets allow, on one process and on several. Not a nano-dollar too much is
//! spent, and nearly all that could be afforded is done.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::ask::{Ask, Id};
use super::bench::{Bench, verdict};
use super::caps::{self, Books, Cap, KNOWN};
use super::chance::Chance;
use super::ledger::Row;
use super::load::{End, Sent, SentLog};
use super::oracle::Fault;
use super::process::Disk;
use super::tariff::{FLAT, Nano, STEEP, Tokens, usd};
use super::truth::Call;
use super::{Database, Lab};
use crate::shell::Result;

/// What a request generates, and what that costs.
const OUTPUT: u64 = 1_000;
const PRICE: Nano = 7_000_000;
/// What a budget is worth, in requests.
const WORTH: u64 = 137;
/// How long an answer takes, so that all of them are under way at once.
const DELAY_MS: u64 = 100;
/// The budgets of most cases, and of the one where prompts cost something.
const EVEN: Nano = worth(WORTH);
const COUNTED: Nano = 2_000_000_000;
/// Requests one after the other that find out what is left.
const MOST_TOP_UPS: u64 = 400;

/// On one process with SQLite, on several with PostgreSQL.
pub(super) async fn prove(lab: &Lab) -> Result {
    for database in &lab.databases {
        let processes = match database {
            Database::Sqlite => 1,
            Database::Postgres => lab.size(2, 3),
        };
        let mut bench = Bench::open(lab, "budget", *database, processes, Disk::Plain).await?;
        let mut run = Run {
            bench: &mut bench,
            seed: lab.seed,
            requests: lab.size(200, 1_000),
            sent: SentLog::new(),
            caps: Vec::new(),
            refusal: String::new(),
        };
        run.all(lab.size(2, 20)).await?;
        run.books().await?;
        println!(
            "   {database}, {processes} processes: the books of {} budgets and {} requests are right",
            run.caps.len(),
            run.sent.len()
        );
    }
    Ok(())
}

/// What so many requests cost.
const fn worth(requests: u64) -> Nano {
    PRICE * requests as Nano
}

/// The cases, one after the other on the same gateways, each with keys of its own.
struct Run<'a> {
    bench: &'a mut Bench,
    seed: u64,
    requests: u64,
    sent: SentLog,
    caps: Vec<Cap>,
    /// What the last refusal said.
    refusal: String,
}

/// A request whose cost is known before: the prompt is free, and all that may be generated is.
fn even_ask(id: Id, key: u8, output: u64) -> Ask {
    let tokens = Tokens { input: 10, output, ..Tokens::default() };
    let mut ask = Ask { key, max_tokens: Some(OUTPUT), ..Ask::plain(id, FLAT, tokens) };
    ask.script.delay_ms = DELAY_MS;
    ask
}

impl Run<'_> {
    /// All cases; what they need is made first, for it takes a moment until every process knows of it.
    async fn all(&mut self, repeats: usize) -> Result {
        let mut even = Vec::new();
        for _ in 0..repeats {
            even.push(self.key("even", None, EVEN).await?);
        }
        let less = self.key("less", None, EVEN).await?;
        let counted = self.key("counted", None, COUNTED).await?;
        let killed = self.key("killed", None, EVEN).await?;
        let several = self.make_several().await?;
        sleep(KNOWN).await;
        for key in even {
            self.even(key).await?;
        }
        self.less_than_feared(less).await?;
        self.counted(counted).await?;
        self.several(several).await?;
        if self.bench.gateways.len() > 1 {
            self.killed(killed).await?;
        }
        self.fresh().await
    }

    async fn key(&mut self, name: &str, team: Option<&str>, limit: Nano) -> Result<u8> {
        let description = json!({ "name": name, "team_id": team });
        let number = u8::try_from(self.bench.keys.len())?;
        self.caps.push(Cap::with_key(self.bench, &description, limit).await?);
        Ok(number)
    }

    /// Sends so many requests at once; what became of them.
    async fn burst(
        &mut self,
        count: u64,
        make: impl FnMut(Id, &mut Chance) -> Ask + Send + 'static,
    ) -> Result<SentLog> {
        self.seed = self.seed.wrapping_add(1);
        let source = self.bench.some(count, self.seed, make);
        let log = self.bench.load(usize::try_from(count)?, source).run().await;
        self.sent.extend(log.clone());
        Ok(log)
    }

    /// Asks one after the other on each process until all of them refuse; how many were answered.
    async fn top_up(&mut self, make: impl Fn(Id, &mut Chance) -> Ask + Send + Clone + 'static) -> Result<u64> {
        let (mut answered, mut refused) = (0, 0);
        for round in 0..MOST_TOP_UPS {
            let source = self.bench.some(1, round, make.clone());
            let mut load = self.bench.load(1, source);
            let turn = usize::try_from(round)? % self.bench.gateways.len();
            load.urls.rotate_left(turn);
            let log = load.run().await;
            let done = whole(&log);
            self.refusal = refusal(&log);
            self.sent.extend(log);
            (answered, refused) = (answered + done, if done > 0 { 0 } else { refused + 1 });
            if refused >= self.bench.gateways.len() {
                return Ok(answered);
            }
        }
        Err(format!("{MOST_TOP_UPS} more requests were not enough to spend what is left").into())
    }

    async fn evidence(&self) -> Result<(Vec<Call>, Vec<Row>)> {
        let rows = self.bench.rows(None).await?;
        Ok((self.bench.upstream.truth.calls(), rows))
    }

    /// Every request costs the same, known before: 99 of a hundred that can be afforded are answered.
    async fn even(&mut self, key: u8) -> Result {
        let log = self.burst(self.requests, move |id, _| even_ask(id, key, OUTPUT)).await?;
        let answered = whole(&log);
        let spent = self.kept(&log, EVEN, false)?;
        println!(
            "   even: {} at once, {answered} of {WORTH} affordable answered, {} of {} USD",
            log.len(),
            usd(spent),
            usd(EVEN)
        );
        if answered * 100 < WORTH * 99 {
            let said = refusal(&log);
            return Err(
                format!("{answered} requests were answered, {WORTH} could be afforded; a refusal: {said}").into()
            );
        }
        Ok(())
    }

    /// Less is generated than was feared: what comes back is spent by others, to less than one more request.
    async fn less_than_feared(&mut self, key: u8) -> Result {
        let make = move |id: Id, chance: &mut Chance| even_ask(id, key, chance.between(1, OUTPUT + 1));
        let mut log = self.burst(self.requests, make).await?;
        let more =
            self.top_up(move |id, chance| Ask { script: quick(id, chance, key), ..even_ask(id, key, OUTPUT) }).await?;
        log.extend(self.of_key(key));
        let spent = self.kept(&log, EVEN, false)?;
        println!(
            "   less than feared: {} at once, {more} more one by one, {} of {} USD",
            self.requests,
            usd(spent),
            usd(EVEN)
        );
        self.used_up("less", EVEN, spent)
    }

    /// The prompt has a price, and is counted by an upper bound: only the bound must hold.
    async fn counted(&mut self, key: u8) -> Result {
        let make = move |id: Id, chance: &mut Chance| {
            let tokens =
                Tokens { input: chance.between(1, 60), output: chance.between(1, OUTPUT), ..Tokens::default() };
            let mut ask = Ask { model: Some(STEEP), ..even_ask(id, key, OUTPUT) };
            ask.script.tokens = tokens;
            ask
        };
        let log = self.burst(self.requests, make).await?;
        let spent = self.kept(&log, COUNTED, false)?;
        println!(
            "   prompt with a price: {} at once, {} answered, {} of {} USD",
            log.len(),
            whole(&log),
            usd(spent),
            usd(COUNTED)
        );
        if whole(&log) == 0 { Err("no request was answered".into()) } else { Ok(()) }
    }

    /// Two keys of a team, budgets of both, of the team and of a tag.
    async fn make_several(&mut self) -> Result<[u8; 2]> {
        let first = self.key("several-0", Some("proof"), worth(80)).await?;
        let second = self.key("several-1", Some("proof"), worth(80)).await?;
        let ours = move |sent: &Sent| sent.key == first || sent.key == second;
        self.caps.push(Cap::alone(self.bench, ("team", "proof"), worth(120), ours).await?);
        let tagged = |sent: &Sent| sent.tags == Some("proof=few");
        self.caps.push(Cap::alone(self.bench, ("tag", "proof=few"), worth(20), tagged).await?);
        Ok([first, second])
    }

    /// Key, team and tag at once: all or nothing, each within its own bound.
    async fn several(&mut self, [first, second]: [u8; 2]) -> Result {
        let make = move |id: Id, chance: &mut Chance| {
            let key = if chance.percent(50) { first } else { second };
            Ask { tags: chance.percent(30).then_some("proof=few"), ..even_ask(id, key, OUTPUT) }
        };
        let log = self.burst(self.requests, make).await?;
        self.only_refused(&log, false)?;
        let mut more = 0;
        for key in [first, second] {
            more += self
                .top_up(move |id, chance| Ask { script: quick(id, chance, key), ..even_ask(id, key, OUTPUT) })
                .await?;
        }
        let team: SentLog = self.of_key(first).chain(self.of_key(second)).collect();
        let spent = self.kept(&team, worth(120), false)?;
        println!(
            "   key, team and tag: {} at once, {more} more one by one, {} of {} USD",
            log.len(),
            usd(spent),
            usd(worth(120))
        );
        self.used_up("several", worth(120), spent)
    }

    /// One of the processes is killed in the middle and started again: what it had leased comes back.
    async fn killed(&mut self, key: u8) -> Result {
        let source = self.bench.some(self.requests, self.seed, move |id, _| even_ask(id, key, OUTPUT));
        let running = self.bench.load(usize::try_from(self.requests / 4)?, source).start();
        sleep(Duration::from_millis(DELAY_MS + DELAY_MS / 2)).await;
        self.bench.gateways[1].kill();
        sleep(Duration::from_millis(DELAY_MS)).await;
        self.bench.gateways[1].resume().await?;
        let log = running.finish().await;
        self.sent.extend(log.clone());
        let more =
            self.top_up(move |id, chance| Ask { script: quick(id, chance, key), ..even_ask(id, key, OUTPUT) }).await?;
        let all: SentLog = self.of_key(key).collect();
        let spent = self.kept(&all, EVEN, true)?;
        println!("   one killed: {} asked, {more} more one by one, {} of {} USD", log.len(), usd(spent), usd(EVEN));
        Ok(())
    }

    /// A key is used everywhere the moment it is made: its budget holds from the first request on.
    async fn fresh(&mut self) -> Result {
        let key = self.key("fresh", None, EVEN).await?;
        let log = self.burst(self.requests, move |id, _| even_ask(id, key, OUTPUT)).await?;
        let spent = self.kept(&log, EVEN, false)?;
        println!("   fresh: {} at once, {} of {} USD", log.len(), usd(spent), usd(EVEN));
        Ok(())
    }

    fn of_key(&self, key: u8) -> impl Iterator<Item = (Id, Sent)> {
        self.sent.iter().filter(move |(_, sent)| sent.key == key).map(|(id, sent)| (*id, sent.clone()))
    }

    /// What was not answered was refused for the budget; what was spent at the upstream is within it.
    fn kept(&self, log: &SentLog, limit: Nano, killed: bool) -> Result<Nano> {
        self.only_refused(log, killed)?;
        let calls = self.bench.upstream.truth.calls();
        let spent = super::oracle::spent(log, &calls, |_| true);
        verdict(super::oracle::cap("the budget", limit, spent).as_slice())?;
        Ok(spent)
    }

    fn only_refused(&self, log: &SentLog, killed: bool) -> Result {
        let wrong = |sent: &Sent| match &sent.end {
            End::Whole => false,
            End::Refused { status, code, .. } => (*status, code.as_str()) != (402, "budget_exceeded"),
            _ => !killed,
        };
        let faults: Vec<Fault> = log
            .iter()
            .filter(|(_, sent)| wrong(sent))
            .map(|(id, sent)| {
                Fault::Wrong(*id, "nothing".to_owned(), format!("neither answered nor 402: {:?}", sent.end))
            })
            .collect();
        verdict(&faults)
    }

    /// Less is left than one more request could cost.
    fn used_up(&self, what: &str, limit: Nano, spent: Nano) -> Result {
        if limit - spent < PRICE {
            return Ok(());
        }
        Err(format!(
            "{what}: {} USD are left and every process refuses a request of {}: {}",
            usd(limit - spent),
            usd(PRICE),
            self.refusal,
        )
        .into())
    }

    /// Rows, totals and every budget's own books.
    async fn books(&self) -> Result {
        let (calls, rows) = self.evidence().await?;
        let killed = self.bench.gateways.len() > 1;
        let mut faults = self.bench.faults(&self.sent, &calls, &rows, killed);
        faults.extend(self.bench.sum_faults(&rows).await?);
        let books = Books { sent: &self.sent, calls: &calls, rows: &rows };
        faults.extend(caps::faults(&self.caps, self.bench, &books).await?);
        verdict(&faults)
    }
}

/// The script of a request that is answered at once.
fn quick(id: Id, _: &mut Chance, key: u8) -> super::ask::Script {
    super::ask::Script { delay_ms: 0, ..even_ask(id, key, OUTPUT).script }
}

/// What the last request that was refused was told.
fn refusal(log: &SentLog) -> String {
    let refused = log.iter().filter_map(|(id, sent)| match &sent.end {
        End::Refused { message, .. } => Some((id, message)),
        _ => None,
    });
    refused.max().map(|(_, message)| message.clone()).unwrap_or_default()
}

fn whole(log: &SentLog) -> u64 {
    log.values().filter(|sent| sent.end == End::Whole).count() as u64
}
