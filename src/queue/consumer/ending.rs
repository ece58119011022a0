//! How deliveries end: together where several do, each by itself where Redis does not take them at once.

use std::sync::atomic::Ordering::Relaxed;

use tracing::warn;

use super::{
    actor::{Actor, Answer},
    *,
};
use crate::queue::{metrics::Call, settle};

/// A delivery that ends, and who asked for it.
pub(super) struct Ending {
    pub lease: Lease,
    pub settlement: Settlement,
    pub answer: oneshot::Sender<Settled>,
}

impl Ending {
    fn has(self, settled: Settled) {
        // The slot goes with the lease; who asked may be gone.
        self.lease.end();
        let _ = self.answer.send(settled);
    }
}

impl Actor {
    /// One call for each queue that has settlements and no such call in flight.
    pub fn settle(&mut self) {
        for (&kind, queue) in &mut self.queues {
            if queue.settling || queue.endings.is_empty() {
                continue;
            }
            queue.settling = true;
            let batch: Vec<_> = queue.endings.drain(..queue.endings.len().min(settle::BATCH)).collect();
            let (mut redis, keys, metrics) = (self.redis.clone(), self.keys.clone(), self.metrics.clone());
            self.calls.spawn(async move {
                let rows = batch.iter().map(|ending| (ending.lease.key(), &ending.settlement));
                let writing = settle::write(&mut redis, &keys, kind, rows);
                match metrics.timed(Call::Settle, writing).await {
                    Ok(settled) => {
                        batch.into_iter().zip(settled).for_each(|(ending, settled)| ending.has(settled));
                        Answer::Settled { kind, again: Vec::new() }
                    }
                    Err(error) => {
                        warn!(error = %error, jobs = batch.len(), job.kind = %kind, "settlement failed");
                        Answer::Settled { kind, again: batch }
                    }
                }
            });
        }
    }

    /// By itself, until Redis answers or the lease is lost: one that Redis refuses holds up no other.
    pub fn settle_again(&mut self, ending: Ending) {
        let (mut redis, keys, repeated) = (self.redis.clone(), self.keys.clone(), Arc::clone(&self.repeated));
        let (metrics, beats) = (self.metrics.clone(), self.beats.clone());
        beats.doubt();
        repeated.fetch_add(1, Relaxed);
        self.calls.spawn(async move {
            let (lease, mut failures) = (&ending.lease, 1);
            let settled = loop {
                tokio::time::sleep(connection::backoff(failures)).await;
                beats.answered().await;
                let rows = [(lease.key(), &ending.settlement)].into_iter();
                let writing = settle::write(&mut redis, &keys, lease.key().kind, rows);
                match metrics.timed(Call::Settle, writing).await {
                    Ok(settled) => break settled[0],
                    Err(error) if lease.is_lost() => {
                        warn!(error = %error, "settlement given up: the lease is lost");
                        break Settled::Lost;
                    }
                    Err(error) => {
                        failures += 1;
                        beats.doubt();
                        warn!(error = %error, failures, job.kind = %lease.key().kind, "settlement failed again");
                    }
                }
            };
            repeated.fetch_sub(1, Relaxed);
            ending.has(settled);
            Answer::Ended
        });
    }
}

#[cfg(test)]
mod tests {
    use darkroom_jobs::{JobId, Receipt, Status};

    use super::*;
    use crate::queue::consumer::actor::{
        Queue,
        tests::{actor, actor_of},
    };

    /// Ends a delivery of a job, as an execution does.
    fn end(actor: &mut Actor, id: &str) -> oneshot::Receiver<Settled> {
        let queue = &actor.queues[&Kind::Upload];
        let slot = Arc::clone(&queue.slots).try_acquire_owned().expect("a slot is free");
        let key = LeaseKey { kind: Kind::Upload, id: id.into(), token: id.into() };
        let lease =
            Lease::begin(&actor.leases, key, Duration::from_secs(90), slot, mpsc::unbounded_channel().0);
        let receipt = Arc::new(Receipt::new(JobId::generate(), Kind::Upload, Status::Done));
        let settlement = Settlement::Done { receipt, announced: false, follower: None, owner: None };
        let (answer, settled) = oneshot::channel();
        actor.obey(Command::Settle(lease, settlement, answer));
        settled
    }

    #[tokio::test]
    async fn a_settlement_that_failed_is_repeated_when_leases_were_renewed() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let mut actor = actor_of(&format!("redis://{}", server.local_addr().expect("it is bound")));
        let _settled = end(&mut actor, "a");
        let mut endings =
            std::mem::take(&mut actor.queues.get_mut(&Kind::Upload).expect("it is there").endings);

        actor.settle_again(endings.pop().expect("it waits"));
        // Several times as long as the pause before it is repeated.
        let early = tokio::time::timeout(Duration::from_millis(500), server.accept()).await;
        actor.beats.answer_of_test();
        let then = tokio::time::timeout(Duration::from_secs(10), server.accept()).await;

        assert!(early.is_err() && then.is_ok(), "{early:?}, {then:?}");
    }

    #[tokio::test]
    async fn what_ends_together_shares_a_call_and_is_repeated_alone_before_anything_is_claimed() {
        let mut actor = actor();
        actor.queues.insert(Kind::Upload, Queue::new(5, mpsc::unbounded_channel().0));
        let _first: Vec<_> = ["a", "b", "c"].map(|id| end(&mut actor, id)).into();

        actor.settle();
        let calls = [actor.calls.len()];
        let _second = end(&mut actor, "d");
        actor.settle();
        let waiting = actor.queues[&Kind::Upload].endings.len();
        let calls = [calls[0], actor.calls.len()];
        actor.calls.abort_all();
        let again: Vec<_> =
            std::mem::take(&mut actor.queues.get_mut(&Kind::Upload).expect("it is there").endings);
        actor.take(Answer::Settled { kind: Kind::Upload, again }, false);
        let repeated = actor.repeated.load(Relaxed);
        actor.claim();

        assert_eq!((calls, waiting, repeated), ([1, 1], 1, 1));
        let queue = &actor.queues[&Kind::Upload];
        assert!(!queue.settling && !queue.claiming && queue.ready);
    }
}
