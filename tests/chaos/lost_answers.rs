//! Each script is applied, but its answer is lost with the connection: whoever asked asks again, and nothing happens twice.
//!
//! `LOST` says where. Those of an erasure are in `lost_answers_erasure`, those beside the jobs in `lost_answers_beside`.

use std::{collections::BTreeSet, time::Duration};

use darkroom::{
    config::steps::Step,
    queue::{connection, operate::Operator, scripts},
};
use darkroom_jobs::{
    BucketHealth, Delete, ImageId, JobId, Kind, Producer, Receipt, Status, Target, redis_keys::Keys,
};
use redis::Script;

use crate::{
    size::size,
    support::darkroom::{TestDarkroom, Worker, picture},
    wire::{Fault, Wire},
};

/// Each script, and the test that loses its answer.
const LOST: [(&str, &str); 22] = [
    ("enqueue", "an_enqueue_whose_answer_is_lost_is_repeated_and_each_job_waits_once"),
    ("health_write", "a_look_at_the_bucket_whose_answers_are_lost_is_enqueued_once_and_reported"),
    ("job_cancel", "what_a_person_asks_for_whose_answer_is_lost_is_done_and_may_be_asked_for_again"),
    ("job_discard", "what_a_person_asks_for_whose_answer_is_lost_is_done_and_may_be_asked_for_again"),
    ("jobs_claim", "a_claim_whose_answer_is_lost_leaves_a_lease_that_runs_out"),
    ("jobs_of_owner", "an_erasure_of_which_an_answer_is_lost_asks_again_and_proves_the_same"),
    ("jobs_retry", "what_a_person_asks_for_whose_answer_is_lost_is_done_and_may_be_asked_for_again"),
    ("jobs_scrub", "an_erasure_of_which_an_answer_is_lost_asks_again_and_proves_the_same"),
    ("jobs_settle", "a_settlement_whose_answer_is_lost_is_repeated_and_stands_once"),
    ("jobs_stamp", "an_erasure_of_which_an_answer_is_lost_asks_again_and_proves_the_same"),
    ("layout_raise", "a_layout_whose_answer_is_lost_is_asked_for_again_before_anything_is_claimed"),
    ("lease_return", "a_hand_back_whose_answer_is_lost_is_repeated_and_the_job_waits_once"),
    ("leases_extend", "a_renewal_whose_answer_is_lost_costs_no_lease"),
    ("note_write", "an_erasure_of_which_an_answer_is_lost_asks_again_and_proves_the_same"),
    ("owner_bury", "an_erasure_of_which_an_answer_is_lost_asks_again_and_proves_the_same"),
    ("pace_take", "a_turn_at_a_host_whose_answer_is_lost_is_taken_again"),
    ("queue_pause", "what_a_person_asks_for_whose_answer_is_lost_is_done_and_may_be_asked_for_again"),
    ("queue_resume", "what_a_person_asks_for_whose_answer_is_lost_is_done_and_may_be_asked_for_again"),
    ("queues_tick", "an_upkeep_whose_answer_is_lost_is_done_again_a_second_later"),
    ("slot_enqueue", "a_look_at_the_bucket_whose_answers_are_lost_is_enqueued_once_and_reported"),
    ("tombstone_write", "a_tombstone_whose_answer_is_lost_is_written_again"),
    ("worker_beat", "a_beat_whose_answer_is_lost_is_told_again_and_the_process_is_known_once"),
];

#[test]
fn the_answer_of_every_script_is_lost_in_a_test() {
    let sources = [
        include_str!("lost_answers.rs"),
        include_str!("lost_answers_beside.rs"),
        include_str!("lost_answers_erasure.rs"),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queue/lua");
    let files = std::fs::read_dir(folder).expect("the scripts are there");
    let names = files.map(|file| file.expect("it can be read").path());
    let names = names.map(|path| path.file_stem().expect("it has a name").to_string_lossy().into_owned());
    let scripts: BTreeSet<_> = names.chain(["enqueue".into()]).collect();

    assert_eq!(LOST.map(|(script, _)| script.to_owned()).into_iter().collect::<BTreeSet<_>>(), scripts);
    for (script, test) in LOST {
        let bodies =
            sources.iter().filter_map(|source| source.split_once(&format!("\nasync fn {test}() {{")));
        let body = bodies.map(|(_, rest)| rest.split("\n}\n").next().unwrap_or(rest)).next();
        let body = body.unwrap_or_else(|| panic!("no test is called {test}"));
        let word = if script == "enqueue" { "enqueue.lua".into() } else { script.to_uppercase() };
        assert!(body.contains(&word), "{test} does not call {script}");
    }
}

/// What a full run does to the answer of each script; a quick one tears it.
pub fn faults() -> &'static [Fault] {
    size(&[Fault::Torn], &[Fault::Torn, Fault::Cut, Fault::HalfClosed, Fault::Silent])
}

/// Those that are found out at once, and not when the time for an answer is over.
pub fn closing() -> impl Iterator<Item = Fault> {
    faults().iter().copied().filter(|fault| *fault != Fault::Silent)
}

/// A worker of one queue whose connection breaks at its first call of the script.
async fn cut_off(darkroom: &mut TestDarkroom, script: &Script, fault: Fault, kind: Kind) -> (Wire, Worker) {
    cut_off_with(darkroom, script, fault, &[("DARKROOM_QUEUES", kind.as_str())]).await
}

/// The same of a worker with these settings.
pub async fn cut_off_with(
    darkroom: &mut TestDarkroom,
    script: &Script,
    fault: Fault,
    settings: &[(&str, &str)],
) -> (Wire, Worker) {
    load(&mut darkroom.redis, script).await;
    let wire = Wire::at_first_call(script, fault, &darkroom.services.redis.url()).await;
    let more = [("DARKROOM_REDIS_URL", &*wire.url), ("DARKROOM_SHUTDOWN_MS", "300")];
    let worker = darkroom.worker_stopping_at(Step::Fetched, &[&more[..], settings].concat());
    (wire, worker)
}

/// The first call of a script that Redis does not know would be answered `NOSCRIPT`.
async fn load(redis: &mut redis::aio::MultiplexedConnection, script: &Script) {
    script.prepare_invoke().load_async(redis).await.map(drop).expect("redis loads it");
}

/// Status, deliveries, attempts.
pub fn life(receipt: &Receipt) -> (Status, u32, u32) {
    (receipt.status, receipt.deliveries, receipt.attempts)
}

async fn events(darkroom: &mut TestDarkroom) -> u32 {
    redis::cmd("XLEN").arg("{darkroom}:events").query_async(&mut darkroom.redis).await.expect("redis answers")
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_leaves_a_lease_that_runs_out() {
    for &fault in faults() {
        let mut darkroom = TestDarkroom::start().await;
        let (job, _) = darkroom.upload(picture("plain.jpg")).await;

        darkroom.let_go_on();
        let (wire, worker) = cut_off(&mut darkroom, &scripts::JOBS_CLAIM, fault, Kind::Upload).await;
        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 2, 1), "{fault:?} {}", worker.log());
    }
}

#[tokio::test]
async fn a_settlement_whose_answer_is_lost_is_repeated_and_stands_once() {
    for &fault in faults() {
        let mut darkroom = TestDarkroom::start().await;
        darkroom.let_go_on();
        let (wire, worker) = cut_off(&mut darkroom, &scripts::JOBS_SETTLE, fault, Kind::Upload).await;

        let (job, key) = darkroom.upload(picture("plain.jpg")).await;
        let receipt = darkroom.final_receipt(&job).await;
        worker.logged(&["job settled"]).await;

        assert_eq!(wire.played(), 1);
        assert_eq!((life(&receipt), events(&mut darkroom).await), ((Status::Done, 1, 1), 1));
        darkroom.eventually_only(&[key.as_str()]).await;
    }
}

#[tokio::test]
async fn a_renewal_whose_answer_is_lost_costs_no_lease() {
    for fault in closing() {
        let mut darkroom = TestDarkroom::start().await;
        let (wire, worker) = cut_off(&mut darkroom, &scripts::LEASES_EXTEND, fault, Kind::Upload).await;

        let (job, _) = darkroom.upload(picture("plain.jpg")).await;
        worker.logged(&["leases are not renewed"]).await;
        darkroom.let_go_on();
        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 1, 1), "{fault:?} {}", worker.log());
    }
}

/// The connection is closed by nobody; the lease is longer than the time that an answer may take.
#[tokio::test]
async fn a_heartbeat_whose_connection_never_answers_again_takes_another_in_time() {
    const LEASE: Duration = Duration::from_secs(10);
    let mut darkroom = TestDarkroom::start().await;
    load(&mut darkroom.redis, &scripts::LEASES_EXTEND).await;
    let redis = darkroom.services.redis.url();
    let wire = Wire::at_first_call(&scripts::LEASES_EXTEND, Fault::Silent, &redis).await;
    let lease_ms = LEASE.as_millis().to_string();
    let more = [("DARKROOM_REDIS_URL", &*wire.url), ("DARKROOM_LEASE_MS", &*lease_ms)];
    let worker = darkroom.worker_stopping_at(Step::Fetched, &more);

    let (job, _) = darkroom.upload(picture("plain.jpg")).await;
    worker.logged(&["leases are not renewed"]).await;
    // What was renewed since then is over one lease later at the earliest.
    tokio::time::sleep(LEASE * 3 / 4).await;
    darkroom.let_go_on();
    let receipt = darkroom.final_receipt(&job).await;

    assert_eq!(wire.played(), 1);
    assert_eq!(life(&receipt), (Status::Done, 1, 1), "{}", worker.log());
}

#[tokio::test]
async fn a_hand_back_whose_answer_is_lost_is_repeated_and_the_job_waits_once() {
    for &fault in faults() {
        let mut darkroom = TestDarkroom::start().await;
        let (wire, mut worker) = cut_off(&mut darkroom, &scripts::LEASE_RETURN, fault, Kind::Upload).await;
        let (job, _) = darkroom.upload(picture("plain.jpg")).await;
        worker.reached(Step::Fetched).await;

        worker.signal("TERM");
        let exit = worker.exit_code().await;

        let receipt =
            darkroom.producer.receipt(&job).await.expect("redis answers").expect("the job is known");
        assert_eq!(wire.played(), 1);
        assert_eq!((exit, life(&receipt)), (Some(0), (Status::Queued, 1, 0)), "{fault:?} {}", worker.log());
    }
}

#[tokio::test]
async fn an_enqueue_whose_answer_is_lost_is_repeated_and_each_job_waits_once() {
    for fault in closing() {
        let mut darkroom = TestDarkroom::start().await;
        let script = Script::new(include_str!("../../jobs/src/enqueue.lua"));
        load(&mut darkroom.redis, &script).await;
        let wire = Wire::at_first_call(&script, fault, &darkroom.services.redis.url()).await;
        let producer = Producer::connect(&wire.url, "darkroom").await.expect("redis answers");

        let jobs = (0..250).map(|_| BucketHealth {});
        let ids = producer.enqueue_many::<BucketHealth, _>(jobs).await.expect("it is repeated");

        let waiting: Vec<JobId> = redis::cmd("LRANGE")
            .arg("{darkroom}:bucket_health:active")
            .arg(&[0, -1])
            .query_async::<Vec<String>>(&mut darkroom.redis)
            .await
            .expect("redis answers")
            .iter()
            .map(|id| id.parse().expect("an id"))
            .collect();
        assert_eq!(wire.played(), 1);
        assert_eq!(waiting, ids);
    }
}

#[tokio::test]
async fn an_upkeep_whose_answer_is_lost_is_done_again_a_second_later() {
    for &fault in faults() {
        let mut darkroom = TestDarkroom::start().await;
        darkroom.let_go_on();
        let payload =
            serde_json::to_vec(&darkroom.staged(picture("plain.jpg")).await).expect("a job is JSON");
        darkroom.push_by_hand(Kind::Upload, "by-hand", &payload).await;

        let (wire, worker) = cut_off(&mut darkroom, &scripts::QUEUES_TICK, fault, Kind::Upload).await;
        let receipt = darkroom.final_receipt(&"by-hand".parse::<JobId>().expect("an id")).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 1, 1), "{fault:?} {}", worker.log());
    }
}

#[tokio::test]
async fn a_tombstone_whose_answer_is_lost_is_written_again() {
    for &fault in faults() {
        let mut darkroom = TestDarkroom::start().await;
        darkroom.let_go_on();
        let (wire, worker) = cut_off(&mut darkroom, &scripts::TOMBSTONE_WRITE, fault, Kind::Delete).await;

        let target = Target::UserPhoto { user_id: "u1".parse().expect("an id"), image_id: ImageId::random() };
        let job = darkroom.producer.enqueue(Delete { target }).await.expect("redis takes jobs");
        let receipt = darkroom.final_receipt(&job).await;

        assert_eq!(wire.played(), 1);
        assert_eq!(life(&receipt), (Status::Done, 1, 1), "{fault:?} {}", worker.log());
    }
}

/// Of a worker that looks at the bucket every second.
const EVERY_SECOND: (&str, &str) = ("DARKROOM_HEALTH_INTERVAL_MS", "1000");

#[tokio::test]
async fn a_look_at_the_bucket_whose_answers_are_lost_is_enqueued_once_and_reported() {
    for &fault in faults() {
        for script in [&scripts::SLOT_ENQUEUE, &scripts::HEALTH_WRITE] {
            let mut darkroom = TestDarkroom::start().await;
            load(&mut darkroom.redis, script).await;
            let wire = Wire::at_first_call(script, fault, &darkroom.services.redis.url()).await;
            let _worker = darkroom.worker(&[("DARKROOM_REDIS_URL", &*wire.url), EVERY_SECOND]);

            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            while redis::cmd("ZCARD")
                .arg("{darkroom}:bucket_health:done")
                .query_async::<u32>(&mut darkroom.redis)
                .await
                .expect("redis answers")
                < 3
            {
                assert!(tokio::time::Instant::now() < deadline, "{script:?}: the bucket is not looked at");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }

            let report: Option<String> = redis::cmd("HGET")
                .arg(&["{darkroom}:health", "status"])
                .query_async(&mut darkroom.redis)
                .await
                .expect("redis answers");
            assert_eq!((wire.played(), report.as_deref()), (1, Some("ok")), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn what_a_person_asks_for_whose_answer_is_lost_is_done_and_may_be_asked_for_again() {
    for &fault in faults() {
        let darkroom = TestDarkroom::start().await;
        let url = darkroom.services.redis.url();
        let (dead, _) = darkroom.upload(picture("text.jpg")).await;
        let worker = darkroom.worker(&[]);
        assert_eq!(darkroom.final_receipt(&dead).await.status, Status::Failed);
        drop(worker);
        let (waiting, _) = darkroom.upload(picture("plain.jpg")).await;
        let status = async |job: &JobId| {
            let receipt = darkroom.producer.receipt(job).await.expect("redis answers");
            receipt.map(|receipt| receipt.status)
        };
        let operator = async |script: &Script| {
            let wire = Wire::at_first_call(script, fault, &url).await;
            let client = redis::Client::open(&*wire.url).expect("a url");
            let producer = Producer::connect(&wire.url, "darkroom").await.expect("redis answers");
            let keys = Keys::new("darkroom").expect("a namespace");
            (Operator::new(producer, connection::managed(&client).expect("a url"), keys), wire)
        };
        for script in [
            &scripts::QUEUE_PAUSE,
            &scripts::QUEUE_RESUME,
            &scripts::JOB_CANCEL,
            &scripts::JOBS_RETRY,
            &scripts::JOB_DISCARD,
        ] {
            load(&mut darkroom.redis.clone(), script).await;
        }

        let (person, wire) = operator(&scripts::QUEUE_PAUSE).await;
        let asked = person.pause(Kind::Upload).await;
        assert!(asked.is_err() && person.is_paused(Kind::Upload).await.expect("redis answers"), "{fault:?}");
        assert_eq!(wire.played(), 1);

        let (person, wire) = operator(&scripts::QUEUE_RESUME).await;
        let asked = person.resume(Kind::Upload).await;
        assert!(asked.is_err() && !person.is_paused(Kind::Upload).await.expect("redis answers"), "{fault:?}");
        assert_eq!(wire.played(), 1);

        let (person, wire) = operator(&scripts::JOB_CANCEL).await;
        let asked = [person.cancel(&waiting).await.is_ok(), person.cancel(&waiting).await.is_ok()];
        assert_eq!((asked, status(&waiting).await), ([false, false], Some(Status::Cancelled)), "{fault:?}");
        assert_eq!(wire.played(), 1);

        let (person, wire) = operator(&scripts::JOBS_RETRY).await;
        let asked = [person.retry(&dead).await.is_ok(), person.retry(&dead).await.is_ok()];
        assert_eq!((asked, status(&dead).await), ([false, false], Some(Status::Queued)), "{fault:?}");
        assert_eq!(wire.played(), 1);

        let worker = darkroom.worker(&[]);
        assert_eq!(darkroom.final_receipt(&dead).await.status, Status::Failed);
        drop(worker);
        let (person, wire) = operator(&scripts::JOB_DISCARD).await;
        let asked = [person.discard(&dead).await.is_ok(), person.discard(&dead).await.is_ok()];
        assert_eq!((asked, status(&dead).await), ([false, false], None), "{fault:?}");
        assert_eq!(wire.played(), 1);
    }
}
