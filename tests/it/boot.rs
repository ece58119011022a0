//! A Redis that waiting does not mend ends the start with a sentence and 78.

use crate::support::darkroom::TestDarkroom;

async fn configure(darkroom: &mut TestDarkroom, name: &str, value: &str) {
    let mut command = redis::cmd("CONFIG");
    let () = command.arg(&["SET", name, value]).query_async(&mut darkroom.redis).await.expect("redis obeys");
}

#[tokio::test]
async fn a_redis_that_may_evict_jobs_is_refused_unless_that_is_allowed() {
    let mut darkroom = TestDarkroom::start().await;
    configure(&mut darkroom, "maxmemory-policy", "allkeys-lru").await;

    let mut refused = darkroom.worker(&[]);
    let allowed = darkroom.worker(&[("DARKROOM_ALLOW_EVICTION", "true")]);

    assert_eq!(refused.exit_code().await, Some(78), "{}", refused.log());
    assert!(refused.log().contains("maxmemory-policy is allkeys-lru"), "{}", refused.log());
    allowed.logged(&["queue served"]).await;
}

#[tokio::test]
async fn a_wrong_password_of_redis_is_told_and_not_waited_for() {
    let mut darkroom = TestDarkroom::start().await;
    let url = darkroom.services.redis.url().replace("redis://", "redis://:wrong-secret@");
    configure(&mut darkroom, "requirepass", "right").await;

    let mut refused = darkroom.worker(&[("DARKROOM_REDIS_URL", &url)]);
    let mut anonymous = darkroom.worker(&[]);

    for worker in [&mut refused, &mut anonymous] {
        assert_eq!(worker.exit_code().await, Some(78), "{}", worker.log());
        assert!(worker.log().contains("DARKROOM_REDIS_URL"), "{}", worker.log());
        assert!(!worker.log().contains("wrong-secret"), "{}", worker.log());
    }
    configure(&mut darkroom, "requirepass", "").await;
}

#[tokio::test]
async fn a_newer_layout_of_the_queues_is_left_alone() {
    let mut darkroom = TestDarkroom::start().await;
    let () = redis::cmd("SET")
        .arg(&["{darkroom}:layout", "999"])
        .query_async(&mut darkroom.redis)
        .await
        .expect("redis obeys");

    let mut refused = darkroom.worker(&[]);

    assert_eq!(refused.exit_code().await, Some(78), "{}", refused.log());
    assert!(refused.log().contains("layout 999"), "{}", refused.log());
}
