use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed, time::Instant};

use tracing::{error, info, warn};

use super::ending::Ending;
use super::*;
use crate::queue::{clock::milliseconds, metrics::Call, scripts, upkeep::Round};

/// Payloads up to this size are handed out whole.
const PAYLOAD_LIMIT: usize = darkroom_jobs::MAX_PAYLOAD_BYTES;

/// Commands that are obeyed before Redis is asked again.
const COMMANDS: usize = 256;

/// Bytes of a larger payload that are handed out, for its receipt.
const EXCERPT: usize = 4 << 10;

pub(super) struct Actor {
    pub queues: BTreeMap<Kind, Queue>,
    pub redis: Connection,
    pub keys: Keys,
    pub upkeep: Upkeep,
    pub settings: config::Worker,
    pub leases: Leases,
    pub breaker: Breaker,
    pub beats: Beats,
    pub metrics: Metrics,
    /// Given to leases, so that they find back.
    pub commands: mpsc::WeakUnboundedSender<Command>,
    pub calls: JoinSet<Answer>,
    /// Settlements that Redis did not answer at first: as long as there is one, nothing is claimed.
    pub repeated: Arc<AtomicUsize>,
}

/// One queue that the actor claims from.
pub(super) struct Queue {
    pub slots: Arc<Semaphore>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    /// Whether there may be ready jobs.
    pub ready: bool,
    pub claiming: bool,
    /// Settlements that wait for the call in flight: they share the next one.
    pub endings: Vec<Ending>,
    pub settling: bool,
}

impl Queue {
    pub fn new(slots: usize, deliveries: mpsc::UnboundedSender<Delivery>) -> Self {
        let slots = Arc::new(Semaphore::new(slots));
        Self { slots, deliveries, ready: true, claiming: false, endings: Vec::new(), settling: false }
    }

    /// A wake-up from now on is about jobs that this claim may not have seen.
    fn claim_begins(&mut self) {
        (self.claiming, self.ready) = (true, false);
    }

    /// `more`: it took as many jobs as it could; `None`: it failed, and the next tick says whether there are ready jobs.
    fn claim_ends(&mut self, more: Option<bool>) {
        self.claiming = false;
        self.ready = more.is_some_and(|more| more || self.ready);
    }
}

/// What a call of Redis came to.
pub(super) enum Answer {
    Claimed {
        kind: Kind,
        slots: Vec<OwnedSemaphorePermit>,
        answer: RedisResult<Claimed>,
    },
    Ticked(RedisResult<Round>),
    /// A call of settlements was answered, but for those that have to be asked again.
    Settled {
        kind: Kind,
        again: Vec<Ending>,
    },
    /// A repeated settlement or a hand-back has ended; its slot is free.
    Ended,
}

impl Actor {
    /// Runs until everybody who could ask for something is gone, and every call is answered.
    pub async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut stopping, mut open, mut commands) = (false, true, Vec::with_capacity(COMMANDS));
        while open || !self.calls.is_empty() {
            tokio::select! {
                _ = stopped.changed(), if !stopping => stopping = true,
                received = inbox.recv_many(&mut commands, COMMANDS), if open => {
                    open = received > 0;
                    commands.drain(..).for_each(|command| self.obey(command));
                }
                Some(ended) = self.calls.join_next() => match ended {
                    Ok(answer) => self.take(answer, stopping),
                    Err(died) => error!(error = %died, "a call of the queue died"),
                },
                _ = tick.tick(), if !stopping => self.tick(),
            }
            self.settle();
            if !stopping {
                self.claim();
            }
        }
    }

    pub fn obey(&mut self, command: Command) {
        match command {
            Command::Settle(lease, settlement, answer) => {
                let queue = self
                    .queues
                    .get_mut(&lease.key().kind)
                    .expect("only the actor's own queues are leased from");
                queue.endings.push(Ending { lease, settlement, answer });
            }
            Command::Return(lease, slot) => self.give_back(lease, slot),
            Command::Wake(kind) => {
                for (name, queue) in &mut self.queues {
                    queue.ready |= kind.is_none_or(|kind| kind == *name);
                }
            }
        }
    }

    pub fn take(&mut self, answer: Answer, stopping: bool) {
        match answer {
            Answer::Claimed { kind, slots, answer } => self.deliver(kind, slots, answer, stopping),
            Answer::Ticked(Ok(round)) => {
                for (kind, ready) in round.ready {
                    if let Some(queue) = self.queues.get_mut(&kind) {
                        queue.ready |= ready;
                    }
                }
                if round.more && !stopping {
                    self.tick();
                }
            }
            Answer::Ticked(Err(error)) => {
                self.beats.doubt();
                warn!(error = %error, "upkeep of the queues failed");
            }
            Answer::Settled { kind, again } => {
                self.queues.get_mut(&kind).expect("only the actor's own queues are settled").settling = false;
                again.into_iter().for_each(|ending| self.settle_again(ending));
            }
            Answer::Ended => {}
        }
    }

    /// One call for each queue that may have jobs and has free slots. After Redis was away leases are renewed first, and
    /// results settled.
    pub fn claim(&mut self) {
        if self.beats.is_doubted() || self.repeated.load(Relaxed) > 0 {
            return;
        }
        for (&kind, queue) in &mut self.queues {
            let free = queue.slots.available_permits().min(CLAIM_BATCH);
            if !queue.ready || queue.claiming || free == 0 || self.breaker.pauses(kind) {
                continue;
            }
            queue.claim_begins();
            let slots = std::iter::repeat_with(|| Arc::clone(&queue.slots).try_acquire_owned());
            let slots: Vec<_> = slots.take(free).map_while(Result::ok).collect();
            let (mut redis, keys, lease) = (self.redis.clone(), self.keys.queue(kind), self.settings.lease);
            let metrics = self.metrics.clone();
            self.calls.spawn(async move {
                let mut call = scripts::JOBS_CLAIM.prepare_invoke();
                call.key(keys.active()).key(keys.leases()).key(keys.data()).key(keys.done()).key(keys.dead());
                call.key(keys.paused()).key(keys.meta_prefix()).key(keys.scheduled());
                call.arg(milliseconds(lease)).arg(PAYLOAD_LIMIT).arg(EXCERPT);
                for _ in &slots {
                    call.arg(ulid::Ulid::generate().to_string());
                }
                let answer = metrics.timed(Call::Claim, call.invoke_async(&mut redis)).await;
                Answer::Claimed { kind, slots, answer }
            });
        }
    }

    fn deliver(
        &mut self,
        kind: Kind,
        mut slots: Vec<OwnedSemaphorePermit>,
        answer: RedisResult<Claimed>,
        stopping: bool,
    ) {
        let queue = self.queues.get_mut(&kind).expect("only the actor's own queues are claimed from");
        queue.claim_ends(answer.as_ref().ok().map(|claimed| claimed.more));
        let claimed = match answer {
            Ok(claimed) => claimed,
            Err(error) => {
                self.beats.doubt();
                return warn!(error = %error, job.kind = %kind, "claim failed");
            }
        };
        let Some(commands) = self.commands.upgrade() else {
            return info!(jobs = claimed.jobs.len(), "claim answered too late; the reaper returns its jobs");
        };
        for row in claimed.jobs {
            let slot = slots.pop().expect("no more jobs are claimed than slots were free");
            let key = row.key(kind);
            let timeout = self.settings.limits.timeout(kind);
            let lease = Lease::begin(&self.leases, key, timeout, slot, commands.clone());
            let delivery = Delivery { lease, job: row.into_job(kind, claimed.now) };
            if !stopping {
                // A receiver that is gone drops the delivery, and so gives the job back.
                let _ = queue.deliveries.send(delivery);
            }
        }
    }

    fn give_back(&mut self, lease: LeaseKey, slot: Option<OwnedSemaphorePermit>) {
        let (mut redis, queue, wake) = (self.redis.clone(), self.keys.queue(lease.kind), self.keys.wake());
        let meta = lease.meta(&self.keys);
        let (patience, metrics) = (self.settings.lease, self.metrics.clone());
        self.calls.spawn(async move {
            let mut call = scripts::LEASE_RETURN.prepare_invoke();
            call.key(queue.leases()).key(meta).key(queue.active()).key(wake);
            call.arg(&lease.id).arg(&lease.token).arg(lease.kind.as_str());
            let (since, mut failures) = (Instant::now(), 0);
            // Nobody renews it: after one lease the reaper returns it.
            while since.elapsed() < patience {
                match metrics.timed(Call::Return, call.invoke_async::<u8>(&mut redis)).await {
                    Ok(given) => {
                        debug!(job.kind = %lease.kind, given, "job handed back");
                        break;
                    }
                    Err(error) => {
                        failures += 1;
                        warn!(error = %error, failures, job.kind = %lease.kind, "hand-back failed");
                        tokio::time::sleep(connection::backoff(failures)).await;
                    }
                }
            }
            drop(slot);
            Answer::Ended
        });
    }

    fn tick(&mut self) {
        if self.upkeep.is_busy() {
            return;
        }
        let (mut redis, upkeep) = (self.redis.clone(), self.upkeep.begin());
        self.calls.spawn(async move { Answer::Ticked(upkeep.run(&mut redis).await) });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        worker: config::Worker,
        #[command(flatten)]
        redis: config::Redis,
    }

    fn queue() -> Queue {
        Queue::new(1, mpsc::unbounded_channel().0)
    }

    /// Of a Redis that nobody has to be: its connection is made when it is first used.
    pub fn actor() -> Actor {
        actor_of("redis://127.0.0.1:1")
    }

    pub fn actor_of(url: &str) -> Actor {
        let Defaults { worker, redis } = Defaults::parse_from(["darkroom", "--redis-url", url]);
        let client = connection::client(&redis).expect("it is a url");
        let (keys, metrics) = (redis.namespace, Metrics::default());
        Actor {
            queues: BTreeMap::from([(Kind::Upload, queue())]),
            redis: connection::managed(&client).expect("nothing is connected yet"),
            upkeep: Upkeep::new(keys.clone(), &worker, metrics.clone()),
            keys,
            settings: worker,
            leases: Leases::default(),
            breaker: Breaker::new(1),
            beats: Beats::of_test(Duration::ZERO),
            metrics,
            commands: mpsc::unbounded_channel().0.downgrade(),
            calls: JoinSet::new(),
            repeated: Arc::default(),
        }
    }

    #[test]
    fn a_wake_up_during_a_claim_is_not_forgotten_and_a_claim_that_fails_waits_for_the_tick() {
        let ready = |wake: bool, more: Option<bool>| {
            let mut queue = queue();
            queue.claim_begins();
            queue.ready |= wake;
            queue.claim_ends(more);
            queue.ready
        };

        assert!(ready(true, Some(false)) && ready(false, Some(true)));
        assert!(!ready(false, Some(false)));
        assert!(!ready(true, None) && !ready(false, None));
    }

    #[tokio::test]
    async fn after_a_call_that_failed_nothing_is_claimed_until_leases_were_renewed() {
        for what in ["claim", "tick"] {
            let mut actor = actor();
            let failed = || RedisError::from((redis::ErrorKind::Io, "gone"));
            match what {
                "claim" => actor.deliver(Kind::Upload, Vec::new(), Err(failed()), false),
                _ => actor.take(Answer::Ticked(Err(failed())), false),
            }
            actor.queues.values_mut().for_each(|queue| queue.ready = true);

            actor.claim();
            let before = actor.calls.len();
            actor.beats.answer_of_test();
            actor.claim();

            assert_eq!((before, actor.calls.len()), (0, 1), "{what}");
        }
    }

    #[tokio::test]
    async fn ready_jobs_are_told_before_the_rest_of_a_backlog_is_moved_at_once() {
        for (more, stopping) in [(true, false), (false, false), (true, true)] {
            let mut actor = actor();
            actor.queues.values_mut().for_each(|queue| queue.ready = false);

            let round = Round { ready: vec![(Kind::Upload, true)], more };
            actor.take(Answer::Ticked(Ok(round)), stopping);

            assert!(actor.queues[&Kind::Upload].ready);
            assert_eq!(actor.upkeep.is_busy(), more && !stopping);
        }
    }
}
