//! What the scripts promise, in memory: the same calls, the same answers, no Redis.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Crashes after which a job waits, and after which it is handed out to be given up.
const WAITS_FROM: u32 = 3;
const POISON_FROM: u32 = 8;

/// What is known of one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Of the delivery that holds it.
    pub token: Option<String>,
    /// Of the delivery that was settled last.
    pub settled: Option<String>,
    pub attempts: u32,
    pub deliveries: u32,
    pub crashes: u32,
    /// One of a few payloads.
    pub payload: u8,
    /// The idempotency key that led to it.
    pub key: Option<char>,
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Done,
    Dead,
    Again,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub jobs: BTreeMap<String, Job>,
    pub active: VecDeque<String>,
    /// How many of each id in `active` are left of lives that were cancelled.
    pub husks: BTreeMap<String, usize>,
    /// Whether it is due.
    pub scheduled: BTreeMap<String, bool>,
    /// Whether its time is over.
    pub leases: BTreeMap<String, bool>,
    pub done: BTreeSet<String>,
    pub dead: BTreeSet<String>,
    pub paused: bool,
    /// The job that holds each idempotency key.
    pub holders: BTreeMap<char, String>,
}

impl Queue {
    fn holds(&self, id: &str, token: &str) -> bool {
        self.leases.contains_key(id) && self.jobs[id].token.as_deref() == Some(token)
    }

    /// How many places have it, beside those for ready jobs.
    pub fn places(&self, id: &str) -> usize {
        let there = [
            self.scheduled.contains_key(id),
            self.leases.contains_key(id),
            self.done.contains(id),
            self.dead.contains(id),
        ];
        there.into_iter().filter(|there| *there).count()
    }

    fn job(&mut self, id: &str) -> &mut Job {
        self.jobs.get_mut(id).expect("a job that is somewhere is known")
    }

    /// 0 known · 1 pushed · 2 the key's holder has this payload · 3 another payload; and the job that is meant.
    pub fn enqueue(&mut self, id: &str, payload: u8, key: Option<char>, later: bool) -> (u8, String) {
        let holder =
            key.and_then(|key| self.holders.get(&key)).filter(|holder| self.jobs.contains_key(*holder));
        if let Some(holder) = holder {
            // Of a job that was pushed without a key nobody knows the payload any more once it is done.
            let job = &self.jobs[holder];
            let same = job.payload == payload || (job.key.is_none() && self.done.contains(holder));
            return (if same { 2 } else { 3 }, holder.clone());
        }
        if self.jobs.contains_key(id) {
            return (0, id.to_owned());
        }
        self.jobs.insert(id.to_owned(), Job { payload, key, ..Job::default() });
        if let Some(key) = key {
            self.holders.insert(key, id.to_owned());
        }
        self.appear(id, later.then_some(false));
        (1, id.to_owned())
    }

    /// What anybody could push who has a client: ready, or due already.
    pub fn push(&mut self, id: &str, due: bool) {
        self.jobs.insert(id.to_owned(), Job::default());
        self.appear(id, due.then_some(true));
    }

    fn appear(&mut self, id: &str, scheduled: Option<bool>) {
        match scheduled {
            Some(due) => drop(self.scheduled.insert(id.to_owned(), due)),
            None => self.active.push_back(id.to_owned()),
        }
    }

    pub fn claim(&mut self, tokens: &[String]) -> Vec<(String, Job)> {
        let mut claimed = Vec::new();
        if self.paused {
            return claimed;
        }
        for token in tokens {
            let Some(id) = self.active.pop_front() else { break };
            if !self.jobs.contains_key(&id) || self.places(&id) > 0 {
                *self.husks.get_mut(&id).expect("a job that is elsewhere was cancelled once") -= 1;
                continue;
            }
            let job = self.job(&id);
            job.deliveries += 1;
            job.token = Some(token.clone());
            claimed.push((id.clone(), job.clone()));
            self.leases.insert(id, false);
        }
        claimed
    }

    /// 1 settled, now or before · 0 the delivery holds the job no longer.
    pub fn settle(
        &mut self,
        id: &str,
        token: &str,
        outcome: Outcome,
        attempts: u32,
        next: Option<&str>,
    ) -> u8 {
        if self.jobs.get(id).is_some_and(|job| job.settled.as_deref() == Some(token)) {
            return 1;
        }
        if !self.holds(id, token) {
            return 0;
        }
        self.leases.remove(id);
        let job = self.job(id);
        (job.token, job.settled, job.attempts) = (None, Some(token.to_owned()), attempts);
        match outcome {
            Outcome::Done => drop(self.done.insert(id.to_owned())),
            Outcome::Dead => drop(self.dead.insert(id.to_owned())),
            Outcome::Again => drop(self.scheduled.insert(id.to_owned(), false)),
        }
        if let (Some(next), true) = (next, outcome != Outcome::Again) {
            self.jobs.insert(next.to_owned(), Job::default());
            self.scheduled.insert(next.to_owned(), false);
        }
        1
    }

    pub fn give_back(&mut self, id: &str, token: &str) -> u8 {
        if !self.holds(id, token) {
            return 0;
        }
        self.leases.remove(id);
        self.job(id).token = None;
        self.active.push_front(id.to_owned());
        1
    }

    /// Numbers, from 1, of the deliveries that are lost.
    pub fn extend(&mut self, held: &[(String, String)]) -> Vec<usize> {
        let mut lost = Vec::new();
        for (number, (id, token)) in (1..).zip(held) {
            if self.holds(id, token) {
                self.leases.insert(id.clone(), false);
            } else {
                lost.push(number);
            }
        }
        lost
    }

    /// 1 cancelled · 0 unknown · 2 running · 3 settled · 4 delivered meanwhile.
    pub fn cancel(&mut self, id: &str, deliveries: u32) -> u8 {
        let Some(job) = self.jobs.get(id) else { return 0 };
        if self.leases.contains_key(id) {
            return 2;
        }
        if self.done.contains(id) || self.dead.contains(id) {
            return 3;
        }
        if job.deliveries != deliveries {
            return 4;
        }
        if self.scheduled.remove(id).is_none() {
            *self.husks.entry(id.to_owned()).or_default() += 1;
        }
        self.done.insert(id.to_owned());
        1
    }

    pub fn discard(&mut self, id: &str) -> u8 {
        if !self.dead.remove(id) {
            return 0;
        }
        let key = self.jobs.remove(id).and_then(|job| job.key);
        if let Some(key) = key.filter(|key| self.holders.get(key).is_some_and(|holder| holder == id)) {
            self.holders.remove(&key);
        }
        1
    }

    pub fn retry(&mut self, ids: &[String]) -> u64 {
        let mut retried = 0;
        for id in ids {
            if self.dead.remove(id) {
                let job = self.job(id);
                (job.attempts, job.crashes, job.settled) = (0, 0, None);
                self.active.push_back(id.clone());
                retried += 1;
            }
        }
        retried
    }

    /// Whether that is news.
    pub fn pause(&mut self, paused: bool) -> u8 {
        u8::from(std::mem::replace(&mut self.paused, paused) != paused)
    }

    /// What is due is ready. Says how many.
    pub fn promote(&mut self) -> u64 {
        let due: Vec<_> = self.scheduled.iter().filter(|(_, due)| **due).map(|(id, _)| id.clone()).collect();
        for id in &due {
            self.scheduled.remove(id);
            self.active.push_back(id.clone());
        }
        due.len() as u64
    }

    /// How many were promoted, and how many returned.
    pub fn tick(&mut self) -> (u64, u64) {
        let promoted = self.promote();
        let over: Vec<_> = self.leases.iter().filter(|(_, over)| **over).map(|(id, _)| id.clone()).collect();
        for id in &over {
            self.leases.remove(id);
            let job = self.job(id);
            job.token = None;
            job.crashes += 1;
            if (WAITS_FROM..POISON_FROM).contains(&job.crashes) {
                self.scheduled.insert(id.clone(), false);
            } else {
                self.active.push_front(id.clone());
            }
        }
        (promoted, over.len() as u64)
    }

    /// All settled jobs are forgotten; their keys lead nowhere until their time is over.
    pub fn forget(&mut self) {
        for id in std::mem::take(&mut self.done).into_iter().chain(std::mem::take(&mut self.dead)) {
            self.jobs.remove(&id);
        }
    }
}
