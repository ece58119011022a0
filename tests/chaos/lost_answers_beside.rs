//! Scripts beside the jobs, whose answers are lost: what a process says of itself, and turns at hosts.

use darkroom::queue::scripts::{LAYOUT_RAISE, PACE_TAKE, WORKER_BEAT};
use darkroom_jobs::{ImageId, Ingest, Source, Status, redis_keys::LAYOUT_VERSION};
use redis::AsyncCommands as _;

use crate::{
    lost_answers::{closing, cut_off_with, faults, life},
    support::{
        darkroom::{TestDarkroom, picture},
        dns::TestDns,
        fetching::{HERE, environment, ports},
        web::{Web, answer},
    },
};

const UPLOADS: (&str, &str) = ("DARKROOM_QUEUES", "upload");

#[tokio::test]
async fn a_layout_whose_answer_is_lost_is_asked_for_again_before_anything_is_claimed() {
    for &fault in faults() {
        let mut darkroom = TestDarkroom::start().await;
        darkroom.let_go_on();

        let (wire, worker) = cut_off_with(&mut darkroom, &LAYOUT_RAISE, fault, &[UPLOADS]).await;
        let (job, _) = darkroom.upload(picture("plain.jpg")).await;
        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 1, 1), "{fault:?} {}", worker.log());
        let layout: u32 = darkroom.redis.get("{darkroom}:layout").await.expect("redis answers");
        assert_eq!(layout, LAYOUT_VERSION);
    }
}

#[tokio::test]
async fn a_beat_whose_answer_is_lost_is_told_again_and_the_process_is_known_once() {
    for fault in closing() {
        let mut darkroom = TestDarkroom::start().await;

        let (wire, worker) = cut_off_with(&mut darkroom, &WORKER_BEAT, fault, &[UPLOADS]).await;
        worker.logged(&["leases are not renewed"]).await;
        darkroom.let_go_on();
        let (job, _) = darkroom.upload(picture("plain.jpg")).await;
        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 1, 1), "{fault:?} {}", worker.log());
        assert_eq!(darkroom.inspector().workers().await.expect("redis answers").len(), 1);
    }
}

/// The turn whose answer was lost is nobody's.
#[tokio::test]
async fn a_turn_at_a_host_whose_answer_is_lost_is_taken_again() {
    for &fault in faults() {
        let (mut darkroom, dns) = (TestDarkroom::start().await, TestDns::start().await);
        dns.name("shop.com", &[HERE]);
        let photo = || answer("200 OK", &[("content-type", "image/jpeg")], &picture("plain.jpg"));
        let web = Web::start(move |_| photo()).await;
        let (ports, address) = (ports(&web), dns.address.to_string());
        let settings = [&environment(&ports, &address)[..], &[("DARKROOM_QUEUES", "ingest")]].concat();
        darkroom.let_go_on();

        let (wire, worker) = cut_off_with(&mut darkroom, &PACE_TAKE, fault, &settings).await;
        let source = Source::Url { url: web.url("shop.com", "/a.jpg") };
        let ingest = Ingest { product_id: "p1".parse().expect("an id"), image_id: ImageId::random(), source };
        let job = darkroom.producer.enqueue(ingest).await.expect("redis takes jobs");
        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 1, 1), "{fault:?} {}", worker.log());
    }
}
