//! Uploads and deletions of the same pictures, each held before something that it asks Redis or the bucket, or at a step of
//! its delivery. Every pair has an owner of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use darkroom::{config::steps::Step, digest::sha256, storage::put::ObjectAttributes};
use darkroom_jobs::{
    Delete, EnqueueOptions, ImageId, JobId, Kind, ObjectKey, OwnerId, Payload, Receipt, Source, StagedKey,
    Target, Timestamp, Upload,
};
use redis::AsyncCommands as _;
use tokio::sync::OnceCell;

use crate::{
    delete_races_workers::{At, all_stopped, answered, calls, held, release},
    support::{
        darkroom::{TestDarkroom, Worker, picture},
        deleting::{key_of, owner, user},
        served::client,
    },
};

/// Which way an upload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A new picture.
    Fresh,
    /// That of an owner who was erased and came back, under a name that an older picture still has.
    Back,
    /// Its original is gone, but its picture is there: another job has stored it.
    Kept,
}

/// What is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Image,
    Owner,
}

/// What jobs ask Redis and the bucket when nothing comes between.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    uploads: BTreeMap<Way, Vec<String>>,
    deletions: BTreeMap<What, Vec<String>>,
}

/// One upload and the deletion of its picture.
pub struct Pair {
    pub way: Way,
    pub upload_at: At,
    pub delete_at: At,
    pub upload: Upload,
    pub upload_job: JobId,
    pub delete_job: JobId,
    target: Target,
    /// Whether a tombstone stands while both are held.
    pub is_buried: bool,
    /// Whether the upload has looked for one for the last time.
    pub has_looked: bool,
}

/// Pairs, with all uploads and then all deletions held.
pub struct Scene {
    pub darkroom: TestDarkroom,
    pub pairs: Vec<Pair>,
    pub uploader: Worker,
    pub deleter: Worker,
}

/// What is asked, found out once for a run: whoever adds a request adds a place where jobs are held.
pub async fn asked() -> &'static Asked {
    static ASKED: OnceCell<Asked> = OnceCell::const_new();
    ASKED.get_or_init(Asked::watched).await
}

impl Asked {
    /// Where to hold jobs of the pictures that are deleted so: each place at least once, or in a full run every place of an
    /// upload with every one of the deletion.
    pub fn places(&self, what: What, full: bool) -> Vec<(Way, At, At)> {
        let deletions: Vec<_> = At::all(self.deletions[&what].len()).collect();
        let mut places = Vec::new();
        for (way, calls) in &self.uploads {
            let uploads: Vec<_> = At::all(calls.len()).collect();
            if full && *way == Way::Fresh {
                let all =
                    uploads.iter().flat_map(|upload| deletions.iter().map(move |delete| (*upload, *delete)));
                places.extend(all.map(|(upload, delete)| (*way, upload, delete)));
            } else {
                let most =
                    if *way == Way::Fresh { uploads.len().max(deletions.len()) } else { uploads.len() };
                let turn = |number: usize| {
                    (*way, uploads[number % uploads.len()], deletions[number % deletions.len()])
                };
                places.extend((0..most).map(turn));
            }
        }
        places
    }

    async fn watched() -> Self {
        let mut darkroom = TestDarkroom::start().await;
        let mut pairs = Vec::new();
        for way in [Way::Fresh, Way::Back, Way::Kept] {
            pairs.push(
                Pair::made(&mut darkroom, (way, At::Call(9_999), At::Call(9_999)), What::Image, pairs.len())
                    .await,
            );
        }
        // What is deleted is not what is uploaded: nothing comes between.
        let mut alone = Vec::new();
        for what in [What::Image, What::Owner] {
            alone.push(
                Pair::made(
                    &mut darkroom,
                    (Way::Fresh, At::Call(9_999), At::Call(9_999)),
                    what,
                    10 + alone.len(),
                )
                .await,
            );
        }
        let uploader = held(&darkroom, "upload", pairs.iter().map(|pair| (pair.upload_at, &pair.upload_job)));
        let deleter = held(&darkroom, "delete", alone.iter().map(|pair| (pair.delete_at, &pair.delete_job)));
        for pair in &pairs {
            pair.enqueue_upload(&darkroom).await;
        }
        for pair in &alone {
            pair.enqueue_deletion(&darkroom).await;
        }
        let jobs = pairs.iter().map(|pair| &pair.upload_job).chain(alone.iter().map(|pair| &pair.delete_job));
        for job in jobs {
            darkroom.final_receipt(job).await;
        }
        let uploads = pairs.iter().map(|pair| (pair.way, calls(&uploader, &pair.upload_job)));
        let deletions = [What::Image, What::Owner].into_iter().zip(&alone);
        let deletions = deletions.map(|(what, pair)| (what, calls(&deleter, &pair.delete_job)));
        Self { uploads: uploads.collect(), deletions: deletions.collect() }
    }
}

impl Pair {
    async fn made(
        darkroom: &mut TestDarkroom,
        (way, upload_at, delete_at): (Way, At, At),
        what: What,
        number: usize,
    ) -> Self {
        let name = format!("{way:?}-{what:?}-{number}").to_lowercase();
        let mut upload = Upload { user_id: owner(&name), image_id: ImageId::random(), source: gone() };
        let key = key_of(&upload);
        // A variant of the same image: each deletion finds something.
        put_variant(darkroom, &format!("{}_thumb.jpg", key.stem())).await;
        match way {
            Way::Fresh => upload.source = staged(darkroom, &upload, upload_at).await,
            Way::Back => {
                upload.source = staged(darkroom, &upload, upload_at).await;
                let old = ObjectAttributes { enqueued_ms: Some(1_000), ..ObjectAttributes::default() };
                put(darkroom, &key, old).await;
                let tombstone = format!("{{darkroom}}:tombstone:{}", user(&name).owner_prefix());
                let () = darkroom.redis.set_ex(tombstone, 2_000, 3_600).await.expect("redis answers");
            }
            Way::Kept => {
                let sha256 = sha256(name.as_bytes());
                let attributes = ObjectAttributes {
                    enqueued_ms: Some(1_000),
                    source_sha256: Some(sha256.clone()),
                    ..ObjectAttributes::default()
                };
                put(darkroom, &key, attributes).await;
                let Source::Staged { key, .. } = gone() else { unreachable!("it is staged") };
                upload.source = Source::Staged { key, bytes: None, etag: None, sha256: Some(sha256) };
            }
        }
        let mut target = Target::UserPhoto { user_id: upload.user_id.clone(), image_id: upload.image_id };
        if what == What::Owner {
            target = user(&name);
            enqueue_for_later(darkroom, &upload.user_id).await;
        }
        let (upload_job, delete_job) = (JobId::generate(), JobId::generate());
        Self {
            way,
            upload_at,
            delete_at,
            upload,
            upload_job,
            delete_job,
            target,
            is_buried: false,
            has_looked: false,
        }
    }

    async fn enqueue_upload(&self, darkroom: &TestDarkroom) {
        let options = EnqueueOptions { job_id: Some(self.upload_job.clone()), ..EnqueueOptions::default() };
        darkroom.producer.enqueue_with(self.upload.clone(), options).await.expect("redis takes jobs");
    }

    async fn enqueue_deletion(&self, darkroom: &TestDarkroom) {
        let options = EnqueueOptions { job_id: Some(self.delete_job.clone()), ..EnqueueOptions::default() };
        let job = Delete { target: self.target.clone() };
        darkroom.producer.enqueue_with(job, options).await.expect("redis takes jobs");
    }
}

/// Another upload of the owner, which waits: its job is to be scrubbed, and its original to be found by that.
async fn enqueue_for_later(darkroom: &mut TestDarkroom, owner: &OwnerId) {
    let upload = Upload { user_id: owner.clone(), ..darkroom.staged(picture("plain.jpg")).await };
    let mut payload = Payload::from(upload);
    payload.context = Some("of the producer".into());
    let (now_s, _): (u64, u64) =
        redis::cmd("TIME").query_async(&mut darkroom.redis).await.expect("redis answers");
    let run_at = Some(Timestamp::from_unix_ms((now_s + 3_600) * 1_000));
    let options = EnqueueOptions { run_at, ..EnqueueOptions::default() };
    darkroom.producer.enqueue_with::<Upload>(payload, options).await.expect("redis takes jobs");
}

fn gone() -> Source {
    let key = format!("staging/test/gone-{}", ImageId::random()).parse().expect("a staged key");
    Source::Staged { key, bytes: None, etag: None, sha256: None }
}

/// An original. Whoever dies between its settlement and the removal of the original leaves it: the deletion finds it where our
/// own API stages.
async fn staged(darkroom: &TestDarkroom, upload: &Upload, upload_at: At) -> Source {
    if upload_at != At::Step(Step::Settled) {
        return darkroom.staged(picture("plain.jpg")).await.source;
    }
    let key = StagedKey::of(Kind::Upload, &upload.user_id, upload.image_id);
    darkroom.stage_at(&key).await;
    Source::Staged { key, bytes: None, etag: None, sha256: None }
}

async fn put(darkroom: &TestDarkroom, key: &ObjectKey, attributes: ObjectAttributes) {
    let body = Bytes::from(picture("plain.jpg"));
    darkroom.storage.upload(key, body, &attributes).await.expect("it is stored");
}

/// No id of ours leads to it yet.
async fn put_variant(darkroom: &TestDarkroom, name: &str) {
    let server = &darkroom.services.s3;
    let client = client(&server.endpoint_url, &server.access_key, &server.secret_key);
    let request = client.put_object().bucket(darkroom.storage.bucket()).key(name);
    request.body(Bytes::from("x").into()).send().await.expect("it is stored");
}

impl Scene {
    pub async fn start(what: What, places: &[(Way, At, At)]) -> Self {
        let mut darkroom = TestDarkroom::start().await;
        let mut pairs = Vec::new();
        for (number, place) in places.iter().enumerate() {
            pairs.push(Pair::made(&mut darkroom, *place, what, number).await);
        }
        let uploader = held(&darkroom, "upload", pairs.iter().map(|pair| (pair.upload_at, &pair.upload_job)));
        for pair in &pairs {
            pair.enqueue_upload(&darkroom).await;
        }
        all_stopped(&uploader, pairs.len()).await;
        let deleter = held(&darkroom, "delete", pairs.iter().map(|pair| (pair.delete_at, &pair.delete_job)));
        for pair in &pairs {
            pair.enqueue_deletion(&darkroom).await;
        }
        all_stopped(&deleter, pairs.len()).await;
        let asked = asked().await;
        for pair in &mut pairs {
            let looks = |calls: &[String]| calls.iter().filter(|call| *call == "look").count();
            let (upload, delete) = (
                answered(&uploader, &pair.upload_job, pair.upload_at),
                answered(&deleter, &pair.delete_job, pair.delete_at),
            );
            pair.has_looked = looks(&upload) == looks(&asked.uploads[&pair.way]);
            pair.is_buried = delete.iter().any(|call| ["tombstone_write", "owner_bury"].contains(&&**call));
        }
        Self { darkroom, pairs, uploader, deleter }
    }

    /// Receipts of all uploads, once they are final.
    pub async fn uploads(&self) -> Vec<Receipt> {
        self.receipts(|pair| &pair.upload_job).await
    }

    /// Receipts of all deletions, once they are final.
    pub async fn deletions(&self) -> Vec<Receipt> {
        self.receipts(|pair| &pair.delete_job).await
    }

    async fn receipts(&self, job: impl Fn(&Pair) -> &JobId) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for pair in &self.pairs {
            receipts.push(self.darkroom.final_receipt(job(pair)).await);
        }
        receipts
    }

    pub fn let_go_on(&self, queue: &str) {
        std::fs::write(release(&self.darkroom, queue), "").expect("the folder is there");
    }
}
