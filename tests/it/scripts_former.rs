//! Random calls of the scripts of this release and of the former one, on one queue, agree step by step with a small specification in memory:
//! a rolling deploy. `tests/chaos/model` walks further, with this release alone.
//!
//! `DARKROOM_TEST_STEPS` asks for more steps than the few thousand that every run takes, `DARKROOM_TEST_SEED` for the walk
//! that a failure printed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::support::scripts::{DONE, Scripts, Settling, TICK};

/// Longer than any walk: in the specification time passes when it is told to.
const NEVER_MS: u64 = 24 * 60 * 60 * 1000;

/// What the specification knows of one job.
#[derive(Clone, Debug, Default, PartialEq)]
struct Job {
    /// Of the delivery that holds it.
    token: Option<String>,
    /// Of the delivery that was settled last.
    settled: Option<String>,
    attempts: u32,
    deliveries: u32,
    crashes: u32,
}

/// The specification.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<String, Job>,
    active: VecDeque<String>,
    /// Whether it is due.
    scheduled: BTreeMap<String, bool>,
    /// Whether its time is over.
    leases: BTreeMap<String, bool>,
    done: BTreeSet<String>,
    dead: BTreeSet<String>,
    /// Deliveries that were begun, of which any may come back at any time.
    issued: Vec<(String, String)>,
}

impl Model {
    fn holds(&self, job: &str, token: &str) -> bool {
        self.leases.contains_key(job) && self.jobs[job].token.as_deref() == Some(token)
    }

    fn claim(&mut self, tokens: &[String]) -> Vec<(String, Job)> {
        let mut claimed = Vec::new();
        for token in tokens {
            let Some(id) = self.active.pop_front() else { break };
            let job = self.jobs.get_mut(&id).expect("it was pushed");
            job.deliveries += 1;
            job.token = Some(token.clone());
            self.leases.insert(id.clone(), false);
            self.issued.push((id.clone(), token.clone()));
            claimed.push((id, job.clone()));
        }
        claimed
    }

    fn settle(&mut self, id: &str, token: &str, says: &Settling<'_>) -> u8 {
        if self.jobs[id].settled.as_deref() == Some(token) {
            return 1;
        }
        if !self.holds(id, token) {
            return 0;
        }
        self.leases.remove(id);
        let job = self.jobs.get_mut(id).expect("it was pushed");
        (job.token, job.settled, job.attempts) = (None, Some(token.to_owned()), says.attempts);
        match says.outcome {
            "done" => drop(self.done.insert(id.to_owned())),
            "dead" => drop(self.dead.insert(id.to_owned())),
            _ => drop(self.scheduled.insert(id.to_owned(), says.after_ms == 0)),
        }
        1
    }

    fn give_back(&mut self, id: &str, token: &str) -> u8 {
        if !self.holds(id, token) {
            return 0;
        }
        self.leases.remove(id);
        self.jobs.get_mut(id).expect("it was pushed").token = None;
        self.active.push_front(id.to_owned());
        1
    }

    /// `order`: of the scheduled jobs; among those of one millisecond it is Redis' to choose.
    fn tick(&mut self, order: &[String]) -> (u64, u64) {
        let due: Vec<_> = order.iter().filter(|id| self.scheduled.get(*id) == Some(&true)).cloned().collect();
        for id in &due {
            self.scheduled.remove(id);
            self.active.push_back(id.clone());
        }
        let over: Vec<_> = self.leases.iter().filter(|(_, over)| **over).map(|(id, _)| id.clone()).collect();
        for id in &over {
            self.leases.remove(id);
            let job = self.jobs.get_mut(id).expect("it was pushed");
            job.token = None;
            job.crashes += 1;
            if (3..8).contains(&job.crashes) {
                self.scheduled.insert(id.clone(), false);
            } else {
                self.active.push_front(id.clone());
            }
        }
        (due.len() as u64, over.len() as u64)
    }
}

/// The scripts and the specification, side by side.
struct Walk {
    scripts: Scripts,
    model: Model,
    random: fastrand::Rng,
    pushed: u32,
    tokens: u32,
}

impl Walk {
    fn is_former(&mut self) -> bool {
        self.random.bool()
    }

    async fn step(&mut self) {
        match self.random.u32(0..100) {
            0..20 => self.push().await,
            20..45 => self.claim().await,
            45..65 => self.settle().await,
            65..73 => self.give_back().await,
            73..80 => self.extend().await,
            80..90 => self.let_time_pass().await,
            _ => self.tick().await,
        }
    }

    async fn push(&mut self) {
        self.pushed += 1;
        let id = format!("j{}", self.pushed);
        self.model.jobs.insert(id.clone(), Job::default());
        match self.random.u8(0..3) {
            0 => {
                self.scripts.score(self.scripts.queue.scheduled(), &id, 1.0).await;
                self.model.scheduled.insert(id, true);
                return;
            }
            1 => self.scripts.ready(&id, "payload").await,
            _ if self.is_former() => self.scripts.former_enqueue(&id).await,
            _ => drop(self.scripts.enqueue(&id, "payload", None, false).await),
        }
        self.model.active.push_back(id);
    }

    async fn claim(&mut self) {
        let tokens: Vec<_> = (0..self.random.u32(1..4)).map(|at| format!("t{}", self.tokens + at)).collect();
        self.tokens += 3;

        let words: Vec<_> = tokens.iter().map(String::as_str).collect();
        let rows = match self.is_former() {
            true => self.scripts.former_claim(&words).await,
            false => self.scripts.claim(&words).await,
        };

        let expected = self.model.claim(&tokens);
        let found: Vec<_> =
            rows.iter().map(|row| (&*row.id, row.deliveries, row.attempts, row.crashes)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(id, job)| (&**id, job.deliveries, job.attempts, job.crashes)).collect();
        assert_eq!(found, expected);
    }

    /// One of the last deliveries, whether or not it still holds its job.
    fn some_delivery(&mut self) -> Option<(String, String)> {
        let recent = self.model.issued.len().saturating_sub(12);
        self.random.choice(&self.model.issued[recent..]).cloned()
    }

    async fn settle(&mut self) {
        let Some((id, token)) = self.some_delivery() else { return };
        let outcome = *self.random.choice(&["done", "dead", "again", "again"]).expect("there are four");
        let after_ms = if self.random.bool() { 0 } else { NEVER_MS };
        let says = Settling { outcome, after_ms, attempts: self.random.u32(0..20), ..DONE };

        let answer = match self.is_former() {
            true => self.scripts.former_settle(&id, &token, &says).await,
            false => self.scripts.settle(&id, &token, &says).await,
        };

        let answer = answer.expect("redis answers");
        assert_eq!(answer, self.model.settle(&id, &token, &says), "settling {id} as {outcome}");
    }

    async fn give_back(&mut self) {
        let Some((id, token)) = self.some_delivery() else { return };

        let answer = self.scripts.give_back(&id, &token).await;

        assert_eq!(answer, self.model.give_back(&id, &token), "giving {id} back");
    }

    async fn extend(&mut self) {
        let held: Vec<_> = (0..3).filter_map(|_| self.some_delivery()).collect();
        let words: Vec<_> = held.iter().map(|(id, token)| (&**id, &**token)).collect();

        let lost = self.scripts.extend(&words).await.expect("redis answers");

        let holds = |&(_, (id, token)): &(usize, &(String, String))| self.model.holds(id, token);
        let expected: Vec<_> =
            held.iter().enumerate().filter(|delivery| !holds(delivery)).map(|(at, _)| at + 1).collect();
        assert_eq!(lost, expected);
        let renewed: Vec<_> = held.iter().enumerate().filter(holds).map(|(_, (id, _))| id.clone()).collect();
        for id in renewed {
            self.model.leases.insert(id, false);
        }
    }

    /// The time of a lease is over, or that of a job that waits has come.
    async fn let_time_pass(&mut self) {
        let (places, key) = if self.random.bool() {
            (&mut self.model.leases, self.scripts.queue.leases())
        } else {
            (&mut self.model.scheduled, self.scripts.queue.scheduled())
        };
        let ids: Vec<_> = places.keys().cloned().collect();
        if let Some(id) = self.random.choice(ids) {
            places.insert(id.clone(), true);
            self.scripts.score(key, &id, 1.0).await;
        }
    }

    async fn tick(&mut self) {
        let order = self.scripts.zset(self.scripts.queue.scheduled()).await;
        let order: Vec<_> = order.into_iter().map(|(id, _)| id).collect();

        let (_, again, promoted, returned) = self.scripts.tick(TICK).await;

        assert_eq!((promoted, returned), self.model.tick(&order));
        assert!(!again, "a batch of {} was full", TICK.batch);
        self.put_off_crashed(&order).await;
    }

    /// A crashed job waits for a minute or more, which a long walk may take.
    async fn put_off_crashed(&mut self, known: &[String]) {
        let later_s = (self.scripts.now_ms().await + NEVER_MS as f64) / 1000.0;
        let crashed: Vec<_> = self.model.scheduled.keys().filter(|id| !known.contains(id)).cloned().collect();
        for id in crashed {
            self.scripts.score(self.scripts.queue.scheduled(), &id, later_s).await;
        }
    }

    async fn compare(&mut self) {
        assert_eq!(VecDeque::from(self.scripts.active().await), self.model.active);
        let queue = self.scripts.queue.clone();
        let model = &self.model;
        for (key, expected) in [
            (queue.scheduled(), model.scheduled.keys().cloned().collect()),
            (queue.leases(), model.leases.keys().cloned().collect()),
            (queue.done(), model.done.clone()),
            (queue.dead(), model.dead.clone()),
        ] {
            let found: BTreeSet<_> =
                self.scripts.zset(key.clone()).await.into_iter().map(|(id, _)| id).collect();
            assert_eq!(found, expected, "{key}");
        }
    }
}

#[tokio::test]
async fn workers_and_producers_of_the_former_release_and_of_this_one_agree_on_one_queue() {
    walk(4_000).await;
}

async fn walk(steps: u64) {
    let asked =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let steps = asked("DARKROOM_TEST_STEPS").unwrap_or(steps);
    let seed = asked("DARKROOM_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("DARKROOM_TEST_SEED={seed}");
    let mut scripts = Scripts::start().await;
    scripts.lease_ms = NEVER_MS;
    scripts.tick(TICK).await;
    let random = fastrand::Rng::with_seed(seed);
    let mut walk = Walk { scripts, model: Model::default(), random, pushed: 0, tokens: 0 };

    for step in 0..steps {
        walk.step().await;
        if step % 50 == 0 {
            walk.compare().await;
        }
    }
    walk.compare().await;

    let lives = walk.model.jobs.values();
    assert!(lives.clone().any(|job| job.deliveries > 3) && lives.clone().any(|job| job.crashes > 1));
}
