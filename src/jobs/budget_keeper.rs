//! Keeps this replica's leases on budgets: takes more where requests wait, gives back what others
//! want, and follows changes of the budgets themselves.

mod terms;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::usage_writer::told::named;
use crate::budget::Window;
use crate::clock::{Clock, MonoNs, UnixMs};
use crate::events::{self, Event, Refused};
use crate::gate::budget::{Account, Answer, Budgets, Demand, Hold, Slice};
use crate::money::NanoUsd;
use crate::store::leases::{self, Ask, Leased, Lessee};
use crate::store::{Db, StoreError, budgets, outbox};
use terms::{Need, Now};

/// Between two looks at what others want and what runs low.
const TICK: Duration = Duration::from_millis(100);
/// Between two looks at changed budgets, and two words about what is idle.
const SECOND: u64 = 1_000_000_000;
/// Between two signs of life.
const RENEW: u64 = 5 * SECOND;
/// A replica without a sign of life for so long is taken for dead.
const LEASE_MS: i64 = 30_000;
/// How long a request waits for what another replica may give back.
const PATIENCE: u64 = 1_500_000_000;
/// For one call to the database.
const CALL: Duration = Duration::from_secs(3);
/// After a call that failed, requests that need the database are refused at once for so long.
const AWAY: u64 = 250_000_000;
/// Requests that are answered in one round.
const ROUND: usize = 4096;
/// Changed budgets that are read at once.
const PAGE: u32 = 500;

/// What the keeper works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// The budgets.
    pub budgets: Arc<Budgets>,
    /// Requests that wait for more.
    pub demands: Receiver<Demand>,
    /// This replica's name.
    pub replica: String,
    /// How long a lease should last at the present rate of spending.
    pub autonomy: Duration,
}

/// The keeper.
#[derive(Debug)]
pub struct BudgetKeeper {
    parts: Parts,
    parked: Vec<Parked>,
    needs: HashMap<(String, UnixMs), Need>,
    replicas: i64,
    looked: MonoNs,
    renewed: Option<MonoNs>,
    wanted_since: UnixMs,
    away_until: MonoNs,
    /// Whether anything is leased.
    holding: bool,
    /// Windows (and what they allow) whose first refusal was told; forgotten with the window.
    exceeded: HashSet<(String, UnixMs, NanoUsd)>,
}

/// A request that waits for what another replica may give back.
#[derive(Debug)]
struct Parked {
    demand: Demand,
    until: MonoNs,
}

type Group = (Arc<Account>, Window, Vec<Parked>);

impl BudgetKeeper {
    /// Its name in logs.
    pub const NAME: &'static str = "budget_keeper";

    /// A keeper of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let wanted_since = parts.clock.unix_ms();
        Self {
            parts,
            parked: Vec::new(),
            needs: HashMap::new(),
            replicas: 1,
            looked: 0,
            renewed: None,
            wanted_since,
            away_until: 0,
            holding: false,
            exceeded: HashSet::new(),
        }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                demand = self.parts.demands.recv() => match demand {
                    Some(demand) => self.demands(demand).await,
                    None => return,
                },
                () = tokio::time::sleep(TICK) => {}
            }
            self.parked().await;
            self.look().await;
        }
    }

    fn now(&self) -> MonoNs {
        self.parts.clock.mono_ns()
    }

    fn lessee(&self) -> Lessee<'_> {
        let now = self.parts.clock.unix_ms();
        Lessee { replica: &self.parts.replica, now, expires_at: now.saturating_add(LEASE_MS) }
    }

    /// A call to the database, which may not take long: requests wait.
    async fn call<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        match tokio::time::timeout(CALL, call).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::warn!(job = Self::NAME, %error, "budgets cannot be kept: {error}");
                None
            }
            Err(_) => {
                tracing::warn!(job = Self::NAME, "budgets cannot be kept: the database does not answer");
                None
            }
        }
    }

    /// Answers the requests that wait, those of one window together.
    async fn demands(&mut self, first: Demand) {
        let until = self.now().saturating_add(PATIENCE);
        let mut waiting = vec![Parked { demand: first, until }];
        while waiting.len() < ROUND
            && let Ok(demand) = self.parts.demands.try_recv()
        {
            waiting.push(Parked { demand, until });
        }
        self.answer(waiting).await;
    }

    /// Asks again for those who wait for what others may give back.
    async fn parked(&mut self) {
        if !self.parked.is_empty() {
            let parked = std::mem::take(&mut self.parked);
            self.answer(parked).await;
        }
    }

    async fn answer(&mut self, waiting: Vec<Parked>) {
        let mut groups: HashMap<(String, UnixMs), Group> = HashMap::new();
        for parked in waiting {
            let (account, window) = (Arc::clone(&parked.demand.account), parked.demand.window);
            match groups.entry((account.budget().id.clone(), window.start)) {
                Entry::Occupied(mut group) => group.get_mut().2.push(parked),
                Entry::Vacant(group) => {
                    group.insert((account, window, vec![parked]));
                }
            }
        }
        for (_, group) in groups {
            self.group(group).await;
        }
    }

    async fn group(&mut self, (account, window, mut waiting): Group) {
        // Whoever has left needs nothing any more.
        waiting.retain(|parked| !parked.demand.answer.is_closed());
        if waiting.is_empty() {
            return;
        }
        if self.now() < self.away_until || !self.sure(&account, window).await {
            return refuse(waiting);
        }
        let demands = waiting.iter().map(|parked| parked.demand.amount).collect();
        // What is idle here is not enough for one of them, but it counts.
        let idle = account.take_idle(window.start, 0);
        match self.lease(&account, window, demands, idle).await {
            None => refuse(waiting),
            Some(leased) => {
                if let Some(event) = self.tell(&account, window, waiting, &leased) {
                    self.call(outbox::put_now(&self.parts.db, &[event])).await;
                }
            }
        }
    }

    /// Tells those who wait what came of it. Where others have what they do not need, they wait on. The
    /// first refusal of a window is an event.
    fn tell(&mut self, account: &Arc<Account>, window: Window, waiting: Vec<Parked>, leased: &Leased) -> Option<Event> {
        let now = self.now();
        let mut event = None;
        for (parked, met) in waiting.into_iter().zip(&leased.met) {
            let Parked { demand, until } = parked;
            if *met {
                // Unheard, the hold comes back with the answer.
                let hold = Hold::of(Arc::clone(account), window.start, demand.amount);
                let _ = demand.answer.send(Answer::Held(hold));
            } else if leased.idle_elsewhere > NanoUsd(0) && now < until {
                self.parked.push(Parked { demand, until });
            } else {
                if event.is_none()
                    && self.exceeded.insert((account.budget().id.clone(), window.start, leased.allowance))
                {
                    event = Some(self.refusal(account, &demand, leased));
                }
                let answer = Answer::Exceeded { left: leased.left, allowance: leased.allowance };
                let _ = demand.answer.send(answer);
            }
        }
        event
    }

    fn refusal(&self, account: &Account, demand: &Demand, leased: &Leased) -> Event {
        let (budget, window) = (account.budget(), demand.window);
        let starts_at = window.end.map_or(budget.created_at, |_| window.start);
        events::budget_exceeded(
            self.parts.clock.unix_ms(),
            &Refused {
                budget: named(&budget),
                limit: leased.allowance,
                spent: leased.spent,
                window: events::Window { starts_at, ends_at: window.end },
                request_id: &demand.request,
                needed: demand.amount,
                remaining: NanoUsd(leased.left.0.max(0)),
                refused: None,
            },
        )
    }

    /// Leases what is demanded and some more, or gives `give_back` back (which was taken out of the
    /// account already). `None` when the database did not say what came of it.
    async fn lease(
        &mut self,
        account: &Arc<Account>,
        window: Window,
        demands: Vec<NanoUsd>,
        give_back: i64,
    ) -> Option<Leased> {
        let budget = account.budget();
        let id = (budget.id.clone(), window.start);
        let need = self.needs.entry(id).or_default();
        need.demanded(&demands);
        let terms = Now {
            need: *need,
            now: self.parts.clock.unix_ms(),
            autonomy: self.parts.autonomy,
            replicas: self.replicas,
            budget: Arc::clone(&budget),
        };
        let ask = Ask {
            budget_id: budget.id.clone(),
            start: window.start,
            end: window.end,
            previous: if budget.carry_over && budget.created_at < window.start {
                budget.previous(&window).map(|window| window.start)
            } else {
                None
            },
            // Whoever gives back without being asked for any does not take it again.
            grow: !demands.is_empty() || give_back == 0,
            demands,
            give_back: NanoUsd(give_back),
            idle: NanoUsd(account.slice(window.start).map_or(0, |slice| slice.idle())),
        };
        let leased = self.call(leases::lease(&self.parts.db, self.lessee(), &ask, &terms)).await;
        match &leased {
            Some(leased) => {
                let held = ask.demands.iter().zip(&leased.met).filter(|(_, met)| **met).map(|(d, _)| d.0).sum();
                // What was given back is out of the account already.
                account.leased(window, leased.more.0.saturating_add(give_back), held);
                self.holding |= leased.more > NanoUsd(0);
            }
            None => {
                account.doubt(window);
                self.away_until = self.now().saturating_add(AWAY);
            }
        }
        leased
    }

    /// Whether it is known what is leased of a window; after a lost answer the database is asked.
    async fn sure(&mut self, account: &Arc<Account>, window: Window) -> bool {
        if !account.slice(window.start).is_some_and(|slice| slice.unsure) {
            return true;
        }
        let Some(before) = self.parts.budgets.quiet() else { return false };
        let id = account.budget().id.clone();
        let mine = leases::mine(&self.parts.db, &self.parts.replica, &id, window.start);
        let Some(lease) = self.call(mine).await else {
            self.away_until = self.now().saturating_add(AWAY);
            return false;
        };
        let undisturbed = self.parts.budgets.quiet() == Some(before);
        if undisturbed {
            account.resync(window.start, lease);
        }
        undisturbed
    }

    /// What is to be done without being asked.
    async fn look(&mut self) {
        let now = self.now();
        if now < self.away_until {
            return;
        }
        let second = now.saturating_sub(self.looked) >= SECOND || self.looked == 0;
        if second {
            self.follow().await;
        }
        let accounts: Vec<Arc<Account>> = self.parts.budgets.index().accounts().cloned().collect();
        let unix = self.parts.clock.unix_ms();
        let elapsed = now.saturating_sub(self.looked);
        let mut slices = Vec::new();
        if second {
            self.looked = now.max(1);
            for account in accounts {
                slices.extend(account.look(unix).into_iter().map(|slice| (Arc::clone(&account), slice)));
            }
            self.needs.retain(|(id, start), _| {
                slices.iter().any(|(account, slice)| account.budget().id == *id && slice.window.start == *start)
            });
            self.exceeded.retain(|(id, start, _)| self.needs.contains_key(&(id.clone(), *start)));
            self.keep(&slices, elapsed).await;
            self.holding = slices.iter().any(|(_, slice)| slice.lease > 0);
            self.renew(now).await;
        }
        self.give_others().await;
    }

    /// Follows changes of the budgets.
    async fn follow(&mut self) {
        loop {
            let changed = budgets::changed_since(&self.parts.db, self.parts.budgets.rev(), PAGE);
            let Some(changed) = self.call(changed).await else {
                self.away_until = self.now().saturating_add(AWAY);
                return;
            };
            if changed.len() < PAGE as usize {
                return self.parts.budgets.apply(changed);
            }
            self.parts.budgets.learn(changed);
        }
    }

    /// Takes more where it runs low, gives back what is too much or whose window is over, says what is
    /// idle.
    async fn keep(&mut self, slices: &[(Arc<Account>, Slice)], elapsed: u64) {
        let unix = self.parts.clock.unix_ms();
        let mut idle = Vec::new();
        for (account, slice) in slices {
            let id = (account.budget().id.clone(), slice.window.start);
            let need = self.needs.entry(id).or_default();
            need.measured(slice.demand, elapsed);
            let want = need.want(self.parts.autonomy);
            let over = slice.window.end.is_some_and(|end| end <= unix);
            if slice.unsure {
                self.sure(account, slice.window).await;
            } else if over || slice.idle() > want.saturating_mul(2) {
                let spare = account.take_idle(slice.window.start, if over { 0 } else { want });
                if spare > 0 {
                    self.lease(account, slice.window, Vec::new(), spare).await;
                }
            } else if slice.idle() < want / 2 && need.may_ask() {
                self.lease(account, slice.window, Vec::new(), 0).await;
            } else if slice.idle() != slice.told_idle {
                idle.push((account, slice));
            }
            if self.now() < self.away_until {
                return;
            }
        }
        self.tell_idle(&idle).await;
    }

    async fn tell_idle(&self, idle: &[(&Arc<Account>, &Slice)]) {
        if idle.is_empty() {
            return;
        }
        let said: Vec<(String, UnixMs, i64)> =
            idle.iter().map(|(account, s)| (account.budget().id.clone(), s.window.start, s.idle())).collect();
        if self.call(leases::tell_idle(&self.parts.db, self.lessee(), &said)).await.is_some() {
            for (account, slice) in idle {
                account.told_idle(slice.window.start, slice.idle());
            }
        }
    }

    async fn renew(&mut self, now: MonoNs) {
        if self.renewed.is_some_and(|at| now.saturating_sub(at) < RENEW) {
            return;
        }
        let by = self.lessee();
        let since = by.now.saturating_sub(LEASE_MS);
        if let Some(live) = self.call(leases::renew(&self.parts.db, by, since)).await {
            self.replicas = live;
            self.renewed = Some(now);
        }
    }

    /// Gives back what is idle where another replica found too little.
    async fn give_others(&mut self) {
        if !self.holding {
            return;
        }
        let now = self.parts.clock.unix_ms();
        let since = self.wanted_since.saturating_sub(5_000);
        let Some(wanted) = self.call(leases::wanted(&self.parts.db, &self.parts.replica, since)).await else { return };
        self.wanted_since = now;
        for (id, start) in wanted {
            let Some(account) = self.parts.budgets.account(&id) else { continue };
            let Some(slice) = account.slice(start) else { continue };
            let spare = account.take_idle(start, 0);
            if spare > 0 {
                self.lease(&account, slice.window, Vec::new(), spare).await;
            } else {
                // Its word is what others wait for.
                self.tell_idle(&[(&account, &slice)]).await;
            }
        }
    }
}

fn refuse(waiting: Vec<Parked>) {
    for Parked { demand, .. } in waiting {
        let _ = demand.answer.send(Answer::Unavailable);
    }
}
