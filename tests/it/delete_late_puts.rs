//! A picture's PUT that is answered late or never, or reaches the bucket when whoever sent it is dead and the picture deleted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use darkroom_jobs::{Deletion, JobId, Kind, Status, Target, Upload};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Incoming, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::support::{
    darkroom::{TestDarkroom, Worker},
    deleting::{QUICK, key_of, user},
};

/// What becomes of the first PUT of a picture; later ones wait until they may go on, and then are as any other request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// It is applied when it may go on.
    Late,
    /// It is applied, and answered when it may go on.
    AnsweredLate,
    /// It is applied, and never answered.
    NeverAnswered,
}

/// A way to a bucket; it ends with the test's runtime.
struct Way {
    endpoint_url: String,
    door: Arc<Door>,
}

struct Door {
    first: First,
    target: String,
    /// PUTs of pictures that have come so far.
    puts: AtomicUsize,
    open: watch::Sender<bool>,
}

impl Way {
    async fn to(darkroom: &TestDarkroom, first: First) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint_url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let target = darkroom.services.s3.endpoint_url.replace("http://", "");
        let door = Arc::new(Door { first, target, puts: AtomicUsize::new(0), open: watch::channel(false).0 });
        let shared = Arc::clone(&door);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&shared)));
            }
        });
        Self { endpoint_url, door }
    }

    /// Returns when so many PUTs of pictures have come, within 20 s.
    async fn has_seen(&self, puts: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.door.puts.load(Ordering::SeqCst) < puts {
            assert!(Instant::now() < deadline, "no PUT has come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn open(&self) {
        self.door.open.send_replace(true);
    }
}

async fn serve(client: TcpStream, door: Arc<Door>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let door = Arc::clone(&door);
        async move {
            let (head, body) = request.into_parts();
            let request = Request::from_parts(head, Full::new(body.collect().await?.to_bytes()));
            // In a task of its own: it goes on when whoever sent it has died.
            tokio::spawn(async move { door.pass(request).await }).await.expect("nothing panics in it")
        }
    });
    // A worker that dies in the middle of a request is what these tests are about.
    drop(server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await);
}

impl Door {
    async fn pass(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Full<Bytes>>> {
        let is_picture = request.method() == Method::PUT && request.uri().path().contains("/user_photos/");
        let number = if is_picture { self.puts.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        match (number, self.first) {
            (0, _) => self.ask(request).await,
            (1, First::AnsweredLate) => {
                let answer = self.ask(request).await;
                self.wait().await;
                answer
            }
            (1, First::NeverAnswered) => {
                self.ask(request).await?;
                std::future::pending().await
            }
            _ => {
                self.wait().await;
                self.ask(request).await
            }
        }
    }

    async fn wait(&self) {
        self.open.subscribe().wait_for(|open| *open).await.expect("the sender is ours");
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Full<Bytes>>> {
        let server = TcpStream::connect(&self.target).await.expect("the server is there");
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(server)).await?;
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }
}

/// A darkroom whose uploader goes through a door, at which the PUT of one picture is.
struct Scene {
    darkroom: TestDarkroom,
    way: Way,
    upload: Upload,
    job: JobId,
    uploader: Worker,
}

impl Scene {
    async fn start(first: First) -> Self {
        let darkroom = TestDarkroom::start().await;
        let way = Way::to(&darkroom, first).await;
        let more = [
            ("S3_ENDPOINT_URL", &*way.endpoint_url),
            ("DARKROOM_QUEUES", "upload"),
            // The bucket is not asked first, and a PUT is sent again when there is no answer for so long.
            ("S3_CONDITIONAL_WRITES", "on"),
            ("S3_ATTEMPT_TIMEOUT_MS", if first == First::NeverAnswered { "2000" } else { "40000" }),
        ];
        let uploader = darkroom.worker(&more);
        let upload = darkroom.photo_of("u1").await;
        let job = darkroom.producer.enqueue(upload.clone()).await.expect("redis takes jobs");
        way.has_seen(1).await;
        Self { darkroom, way, upload, job, uploader }
    }

    fn targets(&self) -> [Target; 2] {
        let image =
            Target::UserPhoto { user_id: self.upload.user_id.clone(), image_id: self.upload.image_id };
        [image, user("u1")]
    }

    async fn deleted(&self, target: Target) -> Deletion {
        let job = self.darkroom.delete(target).await;
        let receipt = self.darkroom.final_receipt(&job).await;
        receipt.deletion.expect("a deletion says what it removed")
    }

    async fn is_there(&self) -> bool {
        self.darkroom.storage.exists(&key_of(&self.upload)).await.expect("the bucket answers")
    }

    async fn eventually(&self, there: bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.is_there().await != there {
            assert!(Instant::now() < deadline, "there: {}", !there);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The first PUT was applied and has no answer. The image, or its owner, is deleted, and only when so many PUTs have come the
/// upload hears of them.
async fn is_superseded_and_gone(first: First, puts: usize) {
    for of in [0, 1] {
        let scene = Scene::start(first).await;
        scene.eventually(true).await;
        let _eraser = scene.darkroom.worker(&[QUICK, ("DARKROOM_QUEUES", "delete")]);

        let deletion = scene.deleted(scene.targets()[of].clone()).await;
        scene.way.has_seen(puts).await;
        scene.way.open();
        let receipt = scene.darkroom.final_receipt(&scene.job).await;

        assert_eq!((deletion.verified, deletion.objects), (true, 1));
        assert_eq!((receipt.status, receipt.object), (Status::Superseded, None));
        scene.darkroom.eventually_only(&[]).await;
    }
}

#[tokio::test]
async fn a_picture_whose_put_is_answered_after_its_deletion_is_superseded_and_gone() {
    is_superseded_and_gone(First::AnsweredLate, 1).await;
}

#[tokio::test]
async fn a_put_that_is_repeated_for_want_of_an_answer_brings_nothing_back() {
    is_superseded_and_gone(First::NeverAnswered, 2).await;
}

#[tokio::test]
async fn a_put_that_comes_after_the_deletion_of_its_image_is_removed_by_the_second_pass() {
    let mut scene = Scene::start(First::Late).await;
    scene.uploader.kill().await;
    let second_pass = ("DARKROOM_SECOND_PASS_MS", "2000");
    let _eraser = scene.darkroom.worker(&[second_pass, ("DARKROOM_QUEUES", "delete")]);
    let [image, _] = scene.targets();

    let deletion = scene.deleted(image).await;
    scene.darkroom.operator().pause(Kind::Delete).await.expect("redis answers");
    scene.way.open();
    scene.eventually(true).await;
    scene.darkroom.operator().resume(Kind::Delete).await.expect("redis answers");
    scene.eventually(false).await;

    // It was as empty as it said; nobody is told of what came later.
    assert_eq!((deletion.verified, deletion.objects), (true, 0));
    let _uploader = scene.darkroom.worker(&[("DARKROOM_QUEUES", "upload")]);
    assert_eq!(scene.darkroom.final_receipt(&scene.job).await.status, Status::Superseded);
    scene.darkroom.eventually_only(&[]).await;
    let events = scene.darkroom.events().await;
    assert_eq!(events.len(), 2, "{events:?}");
}

#[tokio::test]
async fn a_put_that_comes_between_the_sweeps_of_an_erasure_is_removed_and_counted() {
    let mut scene = Scene::start(First::Late).await;
    scene.uploader.kill().await;
    let sweeps = ("DARKROOM_ERASE_SWEEPS_MS", "4000,5000");
    let _eraser = scene.darkroom.worker(&[sweeps, ("DARKROOM_QUEUES", "delete")]);

    let job = scene.darkroom.delete(user("u1")).await;
    let first = scene.darkroom.receipt_when_deferred(&job).await.deletion.expect("it tells");
    scene.darkroom.operator().pause(Kind::Delete).await.expect("redis answers");
    let so_far = scene.darkroom.producer.receipt(&job).await.expect("redis answers").expect("it is known");
    scene.way.open();
    scene.eventually(true).await;
    scene.darkroom.operator().resume(Kind::Delete).await.expect("redis answers");
    let receipt = scene.darkroom.final_receipt(&job).await;

    // A machine that was too slow has ended it before the queue was paused.
    assert!(!so_far.is_final, "{so_far:?}");
    let deletion = receipt.deletion.expect("it tells");
    assert_eq!((first.objects, deletion.objects, deletion.verified), (0, 1, true));
    let _uploader = scene.darkroom.worker(&[("DARKROOM_QUEUES", "upload")]);
    assert_eq!(scene.darkroom.final_receipt(&scene.job).await.status, Status::Superseded);
    scene.darkroom.eventually_only(&[]).await;
}
