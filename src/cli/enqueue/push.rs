//! Jobs on their way to Redis: each has its id before, and so pushing it again is harmless.

use darkroom_jobs::{EnqueueError, EnqueueOptions, JobId, Kind, Producer};

use super::taken::Refusal;

/// How often jobs are pushed whose outcome is unknown.
const PUSHES: usize = 3;

/// One of many jobs.
pub struct Job {
    /// What it is, in JSON.
    pub payload: String,
    /// For 24 hours the same key with the same payload is the same job.
    pub idempotency_key: Option<String>,
}

/// Pushes one job, and gives its id, or that of the job which holds the idempotency key.
///
/// # Errors
///
/// `queue_unavailable` alone means that the job may be in the queue; the message says with which id.
pub async fn one(
    producer: &Producer,
    kind: Kind,
    payload: &str,
    idempotency_key: Option<String>,
) -> Result<JobId, Refusal> {
    let id = JobId::generate();
    let options = EnqueueOptions { job_id: Some(id.clone()), idempotency_key, ..Default::default() };
    let answer = repeated(|| producer.enqueue_json(kind, payload, options.clone())).await;
    answer.map_err(|error| match error {
        EnqueueError::Unavailable(_) => Refusal::from(error).perhaps(&id),
        _ => error.into(),
    })
}

/// Pushes many jobs of one kind, and gives for each its id, or that of the job which holds its idempotency key.
///
/// # Errors
///
/// When Redis did not answer, a refusal for each: it may be in the queue, and the message says with which id.
pub async fn many(
    producer: &Producer,
    kind: Kind,
    jobs: Vec<Job>,
) -> Result<Vec<Result<JobId, Refusal>>, Vec<Refusal>> {
    let ids: Vec<_> = jobs.iter().map(|_| JobId::generate()).collect();
    let entry = |(job, id): (&Job, &JobId)| {
        let (job_id, idempotency_key) = (Some(id.clone()), job.idempotency_key.clone());
        (job.payload.clone(), EnqueueOptions { job_id, idempotency_key, ..Default::default() })
    };
    let entries = || jobs.iter().zip(&ids).map(entry);
    match repeated(|| producer.enqueue_json_many(kind, entries())).await {
        Ok(answers) => Ok(answers.into_iter().map(|answer| answer.map_err(Refusal::from)).collect()),
        Err(error) => {
            let refusal = Refusal::from(error);
            Err(ids.iter().map(|id| refusal.clone().perhaps(id)).collect())
        }
    }
}

async fn repeated<T, Pushing>(push: impl Fn() -> Pushing) -> Result<T, EnqueueError>
where
    Pushing: Future<Output = Result<T, EnqueueError>>,
{
    let mut pushes = 1;
    loop {
        match push().await {
            Err(EnqueueError::Unavailable(_)) if pushes < PUSHES => pushes += 1,
            answer => return answer,
        }
    }
}
