//! One subscription a process to `{ns}:settled`, shared by all who wait for a receipt.

use std::{sync::OnceLock, time::Duration};

use redis::{Client, RedisError};
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::debug;

use crate::{JobId, Producer, Receipt, wire};

/// How often a receipt is read although nothing was heard: announcements can be lost.
const REREAD: Duration = Duration::from_secs(2);
/// Ids that may wait for a slow listener; one that falls behind reads again.
const BACKLOG: usize = 1024;

/// Why there is no final receipt.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// No queue knows the job: a wrong id, another namespace, or forgotten long after its end.
    #[error("no queue knows job {0}")]
    Unknown(JobId),
    /// The job is not final yet; here is where it stands.
    #[error("job {} is still {} when the time was over", .0.job_id, .0.status.as_str())]
    TimedOut(Box<Receipt>),
    /// Redis could not be read until the time was over.
    #[error("redis could not be reached")]
    Unavailable(#[source] RedisError),
}

impl Producer {
    /// Waits until the job's receipt is final.
    ///
    /// # Errors
    ///
    /// * [`WaitError::Unknown`]: no queue knows the job.
    /// * [`WaitError::TimedOut`]: with the receipt as it is now.
    /// * [`WaitError::Unavailable`]: Redis was away until the end.
    pub async fn wait(&self, id: &JobId, timeout: Duration) -> Result<Receipt, WaitError> {
        let deadline = Instant::now() + timeout;
        let mut settled = self.settlements.listen().await;
        loop {
            let read = self.receipt(id).await;
            let failure = match read {
                Ok(Some(receipt)) if receipt.is_final => return Ok(receipt),
                Ok(Some(receipt)) => WaitError::TimedOut(Box::new(receipt)),
                Ok(None) => return Err(WaitError::Unknown(id.clone())),
                Err(error) => WaitError::Unavailable(error),
            };
            if Instant::now() >= deadline {
                return Err(failure);
            }
            tokio::select! {
                () = heard(&mut settled, id) => {}
                () = sleep_until(deadline.min(Instant::now() + REREAD)) => {}
            }
        }
    }
}

/// The subscription, begun by the first who listens and ended with the last producer.
pub(crate) struct Settlements {
    client: Client,
    channel: String,
    running: OnceLock<Subscription>,
}

struct Subscription {
    ids: broadcast::Sender<String>,
    subscribed: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Settlements {
    pub(crate) fn new(client: Client, channel: String) -> Self {
        Self { client, channel, running: OnceLock::new() }
    }

    /// Returns when the subscription stands, or is not to be had: then re-reading alone must do.
    async fn listen(&self) -> broadcast::Receiver<String> {
        let subscription = self.running.get_or_init(|| {
            let ids = broadcast::Sender::new(BACKLOG);
            let (standing, subscribed) = watch::channel(false);
            let task = tokio::spawn(follow(self.client.clone(), self.channel.clone(), ids.clone(), standing));
            Subscription { ids, subscribed, task }
        });
        let receiver = subscription.ids.subscribe();
        let mut subscribed = subscription.subscribed.clone();
        let _ = timeout(REREAD, subscribed.wait_for(|standing| *standing)).await;
        receiver
    }
}

impl Drop for Settlements {
    fn drop(&mut self) {
        if let Some(subscription) = self.running.get() {
            subscription.task.abort();
        }
    }
}

async fn heard(settled: &mut broadcast::Receiver<String>, id: &JobId) {
    while let Ok(settled_id) = settled.recv().await {
        if settled_id == id.as_str() {
            return;
        }
    }
    // Fell behind: what was missed may have been ours.
}

async fn follow(
    client: Client,
    channel: String,
    ids: broadcast::Sender<String>,
    standing: watch::Sender<bool>,
) {
    loop {
        if let Err(error) = forward(&client, &channel, &ids, &standing).await {
            debug!(error = %error, "subscription to settled jobs was refused or lost");
        }
        standing.send_replace(false);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Forwards ids until the connection ends.
async fn forward(
    client: &Client,
    channel: &str,
    ids: &broadcast::Sender<String>,
    standing: &watch::Sender<bool>,
) -> Result<(), RedisError> {
    let mut subscription = wire::Subscription::to(client, channel).await?;
    standing.send_replace(true);
    loop {
        if let Ok(id) = subscription.next().await?.get_payload() {
            // Nobody may be listening just now.
            let _ = ids.send(id);
        }
    }
}
