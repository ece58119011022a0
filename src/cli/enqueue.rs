//! `darkroom enqueue`: puts jobs into the queues.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use darkroom_jobs::{
    Delete, ImageId, Ingest, Kind, ObjectKey, OwnerId, Payload, Producer, Source, Status, Target, Upload,
};

use super::{WrongCall, connect, jobs};
use crate::config;
use taken::{Place, Taken};

mod check;
mod files;
mod lines;
mod list;
mod push;
mod taken;

/// How long `--wait` waits for one job: longer than all its retries take.
const WAIT: Duration = Duration::from_secs(48 * 3600);

/// Calls that people begin with.
const EXAMPLES: &str = "Examples:
  darkroom enqueue upload --user-id 42 --file photo.jpg --wait
  darkroom enqueue ingest --product-id p1 --file 'photos/*.jpg' --json
  darkroom enqueue delete --user-id 42 --image-id 3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4
  darkroom enqueue ingest --check https://shop.example/front.jpg
  darkroom enqueue ingest --csv merchant.csv --idempotency-key merchant-7-november --wait
  producer | darkroom enqueue upload --from-jsonl -";

/// Enqueues jobs, from files too, and prints their ids.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Enqueue {
    /// upload, ingest or delete; with --from-jsonl it may be left out when each line has a `kind`.
    kind: Option<Kind>,
    /// User who owns the photo.
    #[arg(long, value_name = "ID", conflicts_with = "product_id")]
    user_id: Option<OwnerId>,
    /// Product that the image shows.
    #[arg(long, value_name = "ID")]
    product_id: Option<OwnerId>,
    /// Id of the image; left out, a fresh one, or for a deletion everything of the owner.
    #[arg(long, value_name = "UUID")]
    image_id: Option<ImageId>,
    /// Address of the original.
    #[arg(long, conflicts_with = "file")]
    url: Option<String>,
    /// Shows what an address would give, without a queue and without keeping anything; settings of URLs and pictures are those of the environment.
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "file", "from_jsonl", "csv", "wait", "image_id", "idempotency_key"])]
    check: Option<String>,
    /// Reads a merchant's list of product images: a table with the columns `product_id` and `url`, and `image_id` if you choose it. Run again, it enqueues every row anew, unless --idempotency-key is given.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user_id", "product_id", "image_id", "url", "file", "from_jsonl"])]
    csv: Option<PathBuf>,
    /// Where the outcome of each row of --csv is written, a new file; left out, FILE.result.csv. With --idempotency-key the result of an earlier run is replaced.
    #[arg(long, value_name = "FILE", requires = "csv")]
    result: Option<PathBuf>,
    /// Photos, folders of photos (without the folders in them) or patterns; each is staged in the bucket that the S3 settings of the environment name (`darkroom storage ls --help`), and enqueued.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["idempotency_key", "from_jsonl"])]
    file: Vec<PathBuf>,
    /// For 24 hours the same key with the same payload is the same job; row n of --csv has KEY/n, so that a list which was broken off is run again as it was.
    #[arg(long, value_name = "KEY", conflicts_with = "from_jsonl")]
    idempotency_key: Option<String>,
    /// Reads one payload from each line of a file, or with `-` from standard input as they arrive.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user_id", "product_id", "image_id", "url"])]
    from_jsonl: Option<PathBuf>,
    /// Waits for the receipts; exits 0 only when all are done.
    #[arg(long)]
    wait: bool,
    /// Prints JSON, one object on each line; refusals too, on standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    redis: config::Redis,
    #[command(flatten)]
    attempts: config::Attempts,
}

/// What a call asks for.
enum Order {
    Lines(PathBuf),
    One { kind: Kind, payload: String, key: Option<ObjectKey> },
    Files { images: Vec<files::Image>, owner: Owner },
}

/// Whose picture it is, and so what becomes of it.
#[derive(Clone, Debug)]
enum Owner {
    User(OwnerId),
    Product(OwnerId),
}

/// Runs the command; 1 when a job was not taken or, with `--wait`, is not done.
///
/// # Errors
///
/// When the call is wrong, a file cannot be read, or Redis or the bucket cannot be reached.
pub async fn run(args: Enqueue) -> anyhow::Result<ExitCode> {
    if let Some(url) = &args.check {
        let kind = args.kind.ok_or_else(|| wrong("give upload or ingest"))?;
        return check::run(kind, url, args.json).await;
    }
    if let Some(path) = &args.csv {
        if args.kind != Some(Kind::Ingest) {
            return Err(wrong("--csv is for ingest"));
        }
        let list = list::List {
            path,
            result: args.result.as_deref(),
            key: args.idempotency_key.as_deref(),
            wait: args.wait,
            json: args.json,
        };
        return list.enqueue(&args.redis, &args.attempts).await;
    }
    let order = order(&args)?;
    let producer = args.attempts.given_by(connect::producer_let_in(&args.redis).await?);
    let mut taken = Taken::new(args.json);

    match order {
        Order::Lines(path) if path == Path::new("-") => {
            lines::from_stdin(&producer, args.kind, &mut taken).await?;
        }
        Order::Lines(path) => lines::from_file(&producer, args.kind, &path, &mut taken).await?,
        Order::One { kind, payload, key } => {
            let answer = push::one(&producer, kind, &payload, args.idempotency_key).await;
            taken.note(&Place::Call, answer.map(|id| (id, key)))?;
        }
        Order::Files { images, owner } => files::enqueue(&producer, images, &owner, &mut taken).await?,
    }

    let all_done = !args.wait || wait(&producer, &taken).await?;
    Ok(if taken.all && all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the options ask for, before anything is connected to.
fn order(args: &Enqueue) -> anyhow::Result<Order> {
    if let Some(path) = &args.from_jsonl {
        return Ok(Order::Lines(path.clone()));
    }
    let Some(kind) = args.kind else {
        return Err(wrong("give upload, ingest or delete, or --from-jsonl"));
    };
    let owner = match (kind, args.user_id.clone(), args.product_id.clone()) {
        (Kind::Upload, Some(user), None) => Owner::User(user),
        (Kind::Upload, ..) => return Err(wrong("upload needs --user-id")),
        (Kind::Ingest, None, Some(product)) => Owner::Product(product),
        (Kind::Ingest, ..) => return Err(wrong("ingest needs --product-id")),
        (Kind::Delete, ..) => return deletion(args),
        (Kind::BucketHealth, ..) => return Err(wrong("health checks enqueue themselves")),
    };
    if let Some(url) = args.url.clone() {
        let (payload, key) = owner.job(args.image_id.unwrap_or_else(ImageId::random), Source::Url { url })?;
        return Ok(Order::One { kind, payload, key: Some(key) });
    }
    if args.file.is_empty() {
        return Err(wrong("give --file or --url"));
    }
    let images = files::find(&args.file)?;
    if args.image_id.is_some() && images.len() > 1 {
        return Err(wrong("--image-id is for one file, not for several"));
    }
    let images = images
        .into_iter()
        .map(|file| files::Image { file, image_id: args.image_id.unwrap_or_else(ImageId::random) });
    Ok(Order::Files { images: images.collect(), owner })
}

fn deletion(args: &Enqueue) -> anyhow::Result<Order> {
    if args.url.is_some() || !args.file.is_empty() {
        return Err(wrong("delete takes neither --url nor --file"));
    }
    let target = match (args.user_id.clone(), args.product_id.clone(), args.image_id) {
        (Some(user_id), _, Some(image_id)) => Target::UserPhoto { user_id, image_id },
        (Some(user_id), _, None) => Target::User { user_id },
        (None, Some(product_id), Some(image_id)) => Target::ProductImage { product_id, image_id },
        (None, Some(product_id), None) => Target::Product { product_id },
        (None, None, _) => return Err(wrong("delete needs --user-id or --product-id")),
    };
    let key = target.object_key();
    let payload = serde_json::to_string(&Payload::from(Delete { target }))?;
    Ok(Order::One { kind: Kind::Delete, payload, key })
}

fn wrong(message: &str) -> anyhow::Error {
    WrongCall(message.to_owned()).into()
}

impl Owner {
    fn kind(&self) -> Kind {
        match self {
            Self::User(_) => Kind::Upload,
            Self::Product(_) => Kind::Ingest,
        }
    }

    fn id(&self) -> &OwnerId {
        match self {
            Self::User(id) | Self::Product(id) => id,
        }
    }

    /// The payload of the job that keeps one picture of this owner, and the key that it will be kept under.
    fn job(&self, image_id: ImageId, source: Source) -> serde_json::Result<(String, ObjectKey)> {
        Ok(match self.clone() {
            Self::User(user_id) => {
                let key = ObjectKey::user_photo(&user_id, &image_id);
                (serde_json::to_string(&Payload::from(Upload { user_id, image_id, source }))?, key)
            }
            Self::Product(product_id) => {
                let key = ObjectKey::product_image(&product_id, &image_id);
                (serde_json::to_string(&Payload::from(Ingest { product_id, image_id, source }))?, key)
            }
        })
    }
}

/// Prints each receipt; whether all are done. A person learns on standard error why one is not.
async fn wait(producer: &Producer, taken: &Taken) -> anyhow::Result<bool> {
    let mut all_done = true;
    for (id, place) in &taken.jobs {
        let receipt = producer.wait(id, WAIT).await?;
        all_done &= receipt.status == Status::Done;
        jobs::print(&receipt, taken.json)?;
        if !taken.json
            && let Some(why) = jobs::why(&receipt)
        {
            if let Place::File(file) = place {
                eprintln!("{}:", file.display());
            }
            eprintln!("{why}");
        }
    }
    Ok(all_done)
}
