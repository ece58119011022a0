//! `darkroom jobs`: where jobs stand, and what a person does about them.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use darkroom_jobs::{ErrorCode, JobId, Kind, Receipt, Status};

use super::{common::Common, connect, originals, out};
use crate::queue::operate::{OperateError, Operator, Removed};

/// Shows where jobs stand; retries, cancels or discards them.
#[derive(Args, Debug)]
pub struct Jobs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Shows the receipt of one job, at every stage.
    Show {
        /// Id of the job.
        id: JobId,
        #[command(flatten)]
        common: Common,
    },
    /// Lists jobs, the newest first.
    List {
        /// Of this queue alone.
        #[arg(long)]
        kind: Option<Kind>,
        /// With this status alone: queued, running, retrying, done, failed, superseded, expired or cancelled.
        #[arg(long, value_parser = status)]
        status: Option<Status>,
        /// At most so many of each queue.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        limit: u16,
        #[command(flatten)]
        common: Common,
    },
    /// Sends dead jobs round again, with all their attempts.
    Retry {
        /// Dead jobs.
        #[arg(value_name = "ID", required_unless_present = "all_dead", conflicts_with = "all_dead")]
        ids: Vec<JobId>,
        /// Every job of this queue that is dead now.
        #[arg(long, value_name = "KIND")]
        all_dead: Option<Kind>,
        /// With --all-dead: those alone that died of this code, like source_missing.
        #[arg(long, requires = "all_dead")]
        code: Option<ErrorCode>,
        #[command(flatten)]
        common: Common,
    },
    /// Forgets dead jobs for good, and removes their staged originals.
    ///
    /// Originals are removed with the S3 settings of the environment (`darkroom storage ls --help`).
    Discard {
        /// Dead jobs.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<JobId>,
        #[command(flatten)]
        common: Common,
    },
    /// Settles waiting jobs as cancelled, and removes their staged originals.
    ///
    /// Originals are removed with the S3 settings of the environment (`darkroom storage ls --help`).
    Cancel {
        /// Jobs that are queued or retrying.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<JobId>,
        #[command(flatten)]
        common: Common,
    },
}

/// Runs the command; 1 when a job is unknown, or not in a state for it.
///
/// # Errors
///
/// When Redis cannot be reached.
pub async fn run(args: Jobs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Show { id, common } => show(&common, &id).await,
        What::List { kind, status, limit, common } => list(&common, kind, status, limit.into()).await,
        What::Retry { all_dead: Some(kind), code, common, .. } => retry_dead(&common, kind, code).await,
        What::Retry { ids, common, .. } => retry(&common, &ids).await,
        What::Discard { ids, common } => remove(&common, &ids, Operator::discard).await,
        What::Cancel { ids, common } => remove(&common, &ids, Operator::cancel).await,
    }
}

async fn show(common: &Common, id: &JobId) -> anyhow::Result<ExitCode> {
    let receipt = connect::producer(&common.redis).await?.receipt(id).await.context(connect::AWAY)?;

    let Some(receipt) = receipt else {
        eprintln!("{}", unknown(id));
        return Ok(ExitCode::FAILURE);
    };
    print(&receipt, common.json)?;
    if !common.json
        && let Some(why) = why(&receipt)
    {
        if is_under_way(receipt.status) {
            out::line("  the last attempt failed:")?;
        }
        out::line(why)?;
    }
    if !common.json {
        facts(&receipt).into_iter().try_for_each(out::line)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(
    common: &Common,
    kind: Option<Kind>,
    status: Option<Status>,
    limit: usize,
) -> anyhow::Result<ExitCode> {
    let inspector = connect::inspector(&common.redis).await?;
    let mut found = 0;
    for kind in kind.map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]) {
        for receipt in inspector.list(kind, status, limit).await.context(connect::AWAY)? {
            print(&receipt, common.json)?;
            found += 1;
        }
    }
    if found == 0 && !common.json {
        eprintln!("no such jobs");
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry_dead(common: &Common, kind: Kind, code: Option<ErrorCode>) -> anyhow::Result<ExitCode> {
    let retried =
        connect::operator(&common.redis).await?.retry_dead(kind, code).await.context(connect::AWAY)?;
    if common.json {
        out::line(serde_json::json!({ "kind": kind, "retried": retried }))?;
    } else {
        out::line(format_args!("{kind}: dead jobs that wait again: {retried}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry(common: &Common, ids: &[JobId]) -> anyhow::Result<ExitCode> {
    let operator = connect::operator(&common.redis).await?;
    let mut code = ExitCode::SUCCESS;
    for id in ids {
        match operator.retry(id).await {
            Ok(receipt) => print(&receipt, common.json)?,
            Err(refusal) => code = refused(refusal, "only a failed job can be retried")?,
        }
    }
    Ok(code)
}

async fn remove(
    common: &Common,
    ids: &[JobId],
    how: impl AsyncFn(&Operator, &JobId) -> Result<Removed, OperateError>,
) -> anyhow::Result<ExitCode> {
    let operator = connect::operator(&common.redis).await?;
    let mut removed = Vec::new();
    let ended = async {
        let mut code = ExitCode::SUCCESS;
        for id in ids {
            match how(&operator, id).await {
                Ok(job) => {
                    let receipt = job.receipt.clone();
                    removed.push(job);
                    print(&receipt, common.json)?;
                }
                Err(refusal) => {
                    code = refused(refusal, "waiting jobs can be cancelled, failed ones discarded")?;
                }
            }
        }
        Ok(code)
    };
    let ended = ended.await;
    // Whatever ended it: nobody else knows the originals of the jobs that are gone.
    originals::remove(&removed).await;
    ended
}

/// Says why a job was left as it is.
///
/// # Errors
///
/// When it was Redis: then it is of no use to go on with the next.
fn refused(refusal: OperateError, possible: &str) -> anyhow::Result<ExitCode> {
    match refusal {
        OperateError::Redis(error) => return Err(error).context(connect::AWAY),
        OperateError::Unknown(id) => eprintln!("{}", unknown(&id)),
        OperateError::Running(_) | OperateError::NotPossible { .. } => eprintln!("{refusal}: {possible}"),
    }
    Ok(ExitCode::FAILURE)
}

fn unknown(id: &JobId) -> String {
    format!("no queue knows job {id}: check the id and DARKROOM_NAMESPACE")
}

/// Prints a receipt, as JSON or as a line for a person.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn print(receipt: &Receipt, json: bool) -> anyhow::Result<()> {
    if json {
        return out::line(serde_json::to_string(receipt).expect("a receipt is plain JSON"));
    }
    out::line(line(receipt))
}

/// Why the last attempt failed, and what can be done about it.
pub fn why(receipt: &Receipt) -> Option<String> {
    receipt.error.as_ref().map(|error| format!("  {}\n  {}", error.message, error.hint))
}

/// When it goes on, and what was removed so far.
fn facts(receipt: &Receipt) -> Vec<String> {
    let next = receipt.next_attempt_at.filter(|_| !receipt.is_final).map(|at| format!("  goes on at {at}"));
    let deletion = receipt.deletion.as_ref().map(|deletion| {
        let verified = if deletion.verified { "verified: nothing is left" } else { "not verified" };
        format!(
            "  removed {} objects, {} versions, {} markers, {} originals; {verified}",
            deletion.objects, deletion.versions, deletion.markers, deletion.staged
        )
    });
    next.into_iter().chain(deletion).collect()
}

/// One line for a person.
fn line(receipt: &Receipt) -> String {
    let (id, kind, status) = (&receipt.job_id, receipt.kind, receipt.status.as_str());
    let what = match (&receipt.object, &receipt.error) {
        (Some(object), _) => object.key.to_string(),
        (None, Some(error)) if !is_under_way(receipt.status) => error.code.to_string(),
        (None, _) => String::new(),
    };
    format!("{id:<26}  {kind:<13}  {status:<10}  {what}", kind = kind.as_str()).trim_end().to_owned()
}

/// Whether what the receipt says of a failure is about an earlier attempt.
fn is_under_way(status: Status) -> bool {
    matches!(status, Status::Queued | Status::Running)
}

fn status(text: &str) -> Result<Status, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("no such status: {text:?}"))
}

#[cfg(test)]
mod tests {
    use darkroom_jobs::{Deletion, Timestamp};

    use super::*;

    #[test]
    fn an_erasure_under_way_tells_what_is_gone_and_when_it_goes_on() {
        let mut receipt = Receipt::new(JobId::generate(), Kind::Delete, Status::Queued);
        receipt.next_attempt_at = Some(Timestamp::from_unix_ms(0));
        receipt.deletion = Some(Deletion {
            target: None,
            deleted_at: None,
            verified: false,
            objects: 3,
            versions: 0,
            markers: 1,
            staged: 2,
            versions_known: true,
            not_covered: Vec::new(),
        });

        assert_eq!(
            facts(&receipt),
            [
                "  goes on at 1970-01-01T00:00:00.000Z",
                "  removed 3 objects, 0 versions, 1 markers, 2 originals; not verified",
            ]
        );
    }

    #[test]
    fn a_job_that_runs_again_is_shown_without_its_old_failure() {
        let failed = include_str!("../../jobs/tests/wire/receipt-failed.json");
        let failed: Receipt = serde_json::from_str(failed).unwrap();
        let with = |status| line(&Receipt { status, ..failed.clone() });
        let code = failed.error.as_ref().unwrap().code.as_str();

        assert!(with(Status::Failed).ends_with(code) && with(Status::Retrying).ends_with(code));
        assert!(with(Status::Running).ends_with("running") && with(Status::Queued).ends_with("queued"));
    }
}
