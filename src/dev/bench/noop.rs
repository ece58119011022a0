//! Jobs that do nothing, and the real worker that runs them.

use anyhow::Context as _;
use clap::{Args, Command};
use darkroom_jobs::{Encoding, ImageId, Job as _, Object, Payload, Source, Upload};
use tokio::sync::oneshot;

use crate::{
    handlers::report::Report,
    worker::{
        self, Parts, Settings,
        registry::{AnyJob, Handling},
    },
};

/// A payload of about that many bytes, at least as many as an upload needs.
pub fn payload(bytes: usize) -> Payload<Upload> {
    let source = Source::Inline { base64: "AA==".into() };
    let user_id = "bench".parse().expect("it is an id");
    let mut payload = Payload::from(Upload { user_id, image_id: ImageId::random(), source });
    payload.batch = Some(String::new());
    let bare = serde_json::to_string(&payload).expect("a payload is plain JSON").len();
    payload.batch = Some("x".repeat(bytes.saturating_sub(bare)));
    payload
}

/// Runs a worker that serves these jobs alone, until it is told to stop.
pub async fn work(
    concurrency: u32,
    url: String,
    namespace: String,
    stop: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let worker = ["--queues=upload".to_owned(), format!("--concurrency-upload={concurrency}")];
    let settings = Settings {
        redis: settings(&[format!("--redis-url={url}"), format!("--namespace={namespace}")])?,
        s3: settings(&["--s3-bucket=none", "--s3-access-key-id=none", "--s3-secret-access-key=none"])?,
        worker: settings(&worker)?,
        imaging: settings::<_, &str>(&[])?,
        fetch: settings::<_, &str>(&[])?,
    };
    #[expect(clippy::async_yields_async, reason = "the second signal, which never comes, is awaited later")]
    let signal = async move {
        // Told, or nobody is there any more who could tell.
        let _ = stop.await;
        std::future::pending::<()>()
    };
    let parts =
        Parts { handler: handle, ..Parts::new(&settings).await.context("the settings cannot be used")? };
    worker::run(settings, parts, signal).await.context("the worker died")
}

/// Settings with their defaults; the environment is not looked at.
fn settings<A: Args, S: AsRef<str>>(flags: &[S]) -> anyhow::Result<A> {
    let command = A::augment_args(Command::new("bench")).mut_args(|arg| arg.env(None::<&'static str>));
    let flags = flags.iter().map(AsRef::as_ref);
    Ok(A::from_arg_matches(&command.try_get_matches_from(["bench"].into_iter().chain(flags))?)?)
}

/// Says at once that a picture was stored, with a receipt as long as a real one.
fn handle(job: AnyJob, ctx: crate::handlers::context::Context) -> Handling {
    Box::pin(async move {
        let key = match job {
            AnyJob::Upload(payload) => payload.job.object_key(),
            _ => None,
        };
        Ok(key.map_or(Report::Probed, |key| {
            Report::Stored(Object {
                key,
                bucket: ctx.storage.bucket().into(),
                url: None,
                content_type: "image/jpeg".into(),
                size: 412_331,
                width: 2_048,
                height: 1_365,
                etag: Some("\"9b2cf535f27731c974343645a3985328\"".into()),
                sha256: "0".repeat(64),
                encoding: Encoding::Reencoded,
            })
        }))
    })
}
