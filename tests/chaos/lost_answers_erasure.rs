//! The scripts of an erasure, whose answers are lost: it asks again, and proves the same.

use darkroom::queue::scripts::{JOBS_OF_OWNER, JOBS_SCRUB, JOBS_STAMP, NOTE_WRITE, OWNER_BURY};
use darkroom_jobs::{Kind, Status};
use redis::AsyncCommands as _;

use crate::{
    lost_answers::{cut_off_with, faults, life},
    support::{
        darkroom::TestDarkroom,
        deleting::{QUICK, user},
    },
};

/// What a stock producer asked for, and nobody may remember.
const PAYLOAD: &str = r#"{"user_id":"1","image_id":"3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4","source":{"type":"url","url":"https://shop.com/secret.jpg"}}"#;

#[tokio::test]
async fn an_erasure_of_which_an_answer_is_lost_asks_again_and_proves_the_same() {
    for &fault in faults() {
        for script in [&JOBS_STAMP, &OWNER_BURY, &NOTE_WRITE, &JOBS_OF_OWNER, &JOBS_SCRUB] {
            let mut darkroom = TestDarkroom::start().await;
            darkroom.fill("1", 3).await;
            darkroom.push_by_hand(Kind::Upload, "by-hand", PAYLOAD.as_bytes()).await;
            // Due later than this test: nobody has seen it until the erasure does.
            let (scheduled, due) = ("{darkroom}:upload:scheduled", "4000000000");
            let () = darkroom.redis.zadd(scheduled, "by-hand", due).await.expect("redis answers");
            let settings = [("DARKROOM_QUEUES", "delete"), QUICK];

            let (wire, worker) = cut_off_with(&mut darkroom, script, fault, &settings).await;
            let job = darkroom.delete(user("1")).await;
            let receipt = darkroom.final_receipt(&job).await;

            assert_eq!(wire.played(), 1, "{fault:?}");
            assert_eq!(life(&receipt), (Status::Done, 3, 1), "{fault:?} {}", worker.log());
            let deletion = receipt.deletion.expect("a deletion says what it removed");
            assert_eq!((deletion.verified, deletion.objects), (true, 3));
            let kept = darkroom.everything_in_redis().await;
            assert!(kept.contains("3e1f0c9a") && !kept.contains("secret.jpg"), "{fault:?} {kept}");
        }
    }
}
