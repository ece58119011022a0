//! The upkeep of the queues by itself: promotion, leases that ran out, crashes, outages, and what is forgotten.

use redis::AsyncCommands;

use crate::support::scripts::{DONE, Scripts, Settling, TICK, Tick};

/// The first tick of a queue only notes the time.
async fn started() -> Scripts {
    let mut scripts = Scripts::start().await;
    scripts.tick(TICK).await;
    scripts
}

/// Lets the lease of a job run out, and has it found.
async fn crash(scripts: &mut Scripts, job: &str) {
    scripts.score(scripts.queue.leases(), job, 1.0).await;
    assert_eq!(scripts.tick(TICK).await.3, 1, "the lease of {job} was not reaped");
}

#[tokio::test]
async fn what_is_due_is_ready_and_what_is_not_waits() {
    let mut scripts = started().await;
    let now_s = scripts.now_ms().await / 1000.0;
    for (job, due) in [("due", 0.0), ("just", now_s), ("later", now_s + 60.0)] {
        scripts.score(scripts.queue.scheduled(), job, due).await;
    }

    let answer = scripts.tick(TICK).await;

    assert_eq!(
        (answer, scripts.active().await),
        ((2, false, 2, 0), vec!["due".to_owned(), "just".to_owned()])
    );
    assert_eq!(scripts.zset(scripts.queue.scheduled()).await.len(), 1);
}

#[tokio::test]
async fn a_time_that_no_producer_may_ask_for_is_handed_out_at_once_with_the_reason() {
    let mut scripts = started().await;
    let in_ms = scripts.now_ms().await;
    scripts.score(scripts.queue.scheduled(), "milliseconds", in_ms).await;

    scripts.tick(TICK).await;

    assert_eq!(scripts.claim(&["t"]).await[0].reason, "run_at");
}

#[tokio::test]
async fn what_a_strangers_metadata_put_under_our_names_says_nothing_once_the_job_is_promoted() {
    let mut scripts = started().await;
    for field in ["dr_deliveries", "dr_crashes", "attempts", "dr_note", "dr_reason", "result"] {
        scripts.set_meta("a", field, "7").await;
    }
    let () = scripts.redis.set(format!("{}b", scripts.queue.meta_prefix()), "no hash").await.unwrap();
    for job in ["a", "b"] {
        scripts.score(scripts.queue.scheduled(), job, 1.0).await;
    }

    assert_eq!(scripts.tick(TICK).await.2, 2);
    let rows = scripts.claim(&["t1", "t2"]).await;

    for row in &rows {
        assert_eq!((row.deliveries, row.crashes, row.attempts), (1, 0, 0), "{row:?}");
        assert_eq!((row.note.as_str(), row.reason.as_str()), ("", ""), "{row:?}");
    }
    assert!(!scripts.meta("a").await.contains_key("result"));
    assert_eq!(scripts.meta("b").await["dr_seen"], "b");
}

#[tokio::test]
async fn a_full_batch_asks_to_be_called_again_and_is_never_larger() {
    let mut scripts = started().await;
    for job in 0..25 {
        scripts.score(scripts.queue.scheduled(), &format!("j{job}"), 1.0).await;
    }

    let small = Tick { batch: 10, ..TICK };
    let answers = [scripts.tick(small).await, scripts.tick(small).await, scripts.tick(small).await];

    assert_eq!(answers, [(10, true, 10, 0), (20, true, 10, 0), (25, false, 5, 0)]);
    assert_eq!(scripts.active().await.len(), 25);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_next_and_one_that_runs_is_left_alone() {
    let mut scripts = started().await;
    scripts.leased("crashed").await;
    scripts.leased("runs").await;
    scripts.ready("waits", "payload").await;

    crash(&mut scripts, "crashed").await;

    assert_eq!(scripts.active().await, ["crashed", "waits"]);
    assert_eq!(scripts.zset(scripts.queue.leases()).await[0].0, "runs");
    assert!(!scripts.meta("crashed").await.contains_key("dr_token"));
}

#[tokio::test]
async fn two_crashes_are_forgiven_the_next_five_wait_twice_as_long_each_and_the_eighth_is_told() {
    let mut scripts = started().await;
    scripts.ready("a", "payload").await;

    let mut waits = Vec::new();
    for _ in 1..=8 {
        assert_eq!(scripts.claim(&["t"]).await.len(), 1);
        crash(&mut scripts, "a").await;
        let due = scripts.zset(scripts.queue.scheduled()).await;
        let now_s = scripts.now_ms().await / 1000.0;
        if let Some((_, due)) = due.first() {
            assert_eq!(scripts.meta("a").await["dr_ready_at"], format!("{:.0}", due * 1000.0));
        }
        waits.push(due.first().map_or(0, |(_, due)| ((due - now_s) / 60.0).round() as i64));
        if !due.is_empty() {
            scripts.score(scripts.queue.scheduled(), "a", 1.0).await;
            scripts.tick(TICK).await;
        }
    }
    let rows = scripts.claim(&["t"]).await;

    assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 0]);
    assert_eq!((rows[0].crashes, rows[0].attempts), (8, 0));
}

#[tokio::test]
async fn a_hash_that_somebody_overwrote_holds_up_no_other_job_and_loses_none() {
    let mut scripts = started().await;
    let (broken, well) = (scripts.leased("broken").await, scripts.leased("well").await);
    let () = scripts.redis.set(format!("{}broken", scripts.queue.meta_prefix()), "no hash").await.unwrap();

    let lost = scripts.extend(&[("broken", &broken), ("well", &well)]).await.unwrap();
    for job in ["broken", "well"] {
        scripts.score(scripts.queue.leases(), job, 1.0).await;
    }
    let (.., returned) = scripts.tick(TICK).await;

    assert_eq!((lost, returned), (vec![1], 2));
    let mut active = scripts.active().await;
    active.sort_unstable();
    assert_eq!(active, ["broken", "well"]);
    assert_eq!(scripts.claim(&["t1", "t2"]).await.len(), 2);
}

#[tokio::test]
async fn fewer_crashes_end_the_waiting_earlier_and_are_counted_within_less_time() {
    let mut scripts = started().await;
    let says = Tick { crashes: 3, within_ms: 1_000, ..TICK };
    for (job, ago_ms, crashes) in [("a", 0.0, 3), ("b", 2_000.0, 1)] {
        scripts.leased(job).await;
        let since = scripts.now_ms().await - ago_ms;
        scripts.set_meta(job, "dr_crashed_at", &format!("{since} {since}")).await;

        scripts.score(scripts.queue.leases(), job, 1.0).await;
        scripts.tick(says).await;

        // The third of three does not wait for a minute: whoever claims it gives it up.
        assert_eq!(scripts.claim(&["t"]).await[0].crashes, crashes, "{job}");
    }
}

#[tokio::test]
async fn crashes_are_counted_within_three_days() {
    let mut scripts = started().await;
    scripts.leased("a").await;
    crash(&mut scripts, "a").await;
    let now = scripts.now_ms().await;
    let (long_ago, lately) = (now - 72.0 * 3_600_000.0 - 1.0, now - 71.0 * 3_600_000.0);
    scripts.set_meta("a", "dr_crashed_at", &format!("{long_ago} {long_ago} {lately}")).await;
    scripts.claim(&["t"]).await;

    crash(&mut scripts, "a").await;

    assert_eq!(scripts.claim(&["t"]).await[0].crashes, 2);
}

#[tokio::test]
async fn after_an_outage_nobody_is_reaped_for_one_lease_and_then_no_crash_is_counted() {
    let mut scripts = started().await;
    scripts.leased("a").await;
    scripts.score(scripts.queue.leases(), "a", 1.0).await;
    let long_ago = scripts.now_ms().await - 20_000.0;
    let () = scripts.redis.set(scripts.queue.reaped(), long_ago).await.unwrap();
    let says = Tick { lease_ms: 400, reap_ms: 0, outage_ms: 15_000, ..TICK };

    let first = scripts.tick(says).await;
    let asked = tokio::time::Instant::now();
    let mut answer = scripts.tick(says).await;
    while answer.3 == 0 {
        assert!(asked.elapsed() < std::time::Duration::from_secs(10), "the grace does not end");
        answer = scripts.tick(says).await;
    }
    let waited = asked.elapsed();

    assert_eq!(first.3, 0);
    assert!(waited >= std::time::Duration::from_millis(300), "the grace was {waited:?} long");
    assert_eq!(scripts.claim(&["t"]).await[0].crashes, 0);
}

#[tokio::test]
async fn a_clock_that_went_back_stops_the_reaper_for_one_lease_and_no_dead_workers_job_for_as_long() {
    let day = 86_400_000.0;
    let says = Tick { lease_ms: 400, ..TICK };
    for grace in ["", " grace"] {
        let mut scripts = started().await;
        scripts.leased("a").await;
        let now = scripts.now_ms().await;
        scripts.score(scripts.queue.leases(), "a", now + day).await;
        let () = scripts.redis.set(scripts.queue.reaped(), format!("{:.0}{grace}", now + day)).await.unwrap();

        let first = scripts.tick(says).await;
        let end = scripts.zset(scripts.queue.leases()).await[0].1;
        let later = scripts.now_ms().await;
        scripts.score(scripts.queue.leases(), "a", 1.0).await;
        let asked = tokio::time::Instant::now();
        while scripts.tick(says).await.3 == 0 {
            assert!(asked.elapsed() < std::time::Duration::from_secs(10), "nobody reaps any more");
        }

        assert_eq!(first.3, 0);
        assert!((now + 3_600_000.0..=later + 3_600_000.0).contains(&end), "{end}");
        assert_eq!(scripts.claim(&["t"]).await[0].crashes, 0, "{grace}");
    }
}

#[tokio::test]
async fn the_grace_of_a_process_with_longer_leases_is_kept() {
    let mut scripts = started().await;
    scripts.leased("a").await;
    scripts.score(scripts.queue.leases(), "a", 1.0).await;
    let grace = format!("{:.0} grace", scripts.now_ms().await + 1_800_000.0);
    let () = scripts.redis.set(scripts.queue.reaped(), &grace).await.unwrap();

    assert_eq!(scripts.tick(TICK).await.3, 0);
    assert_eq!(scripts.redis.get::<_, String>(scripts.queue.reaped()).await.unwrap(), grace);
}

#[tokio::test]
async fn leases_are_looked_at_no_more_often_than_the_setting_says() {
    let mut scripts = started().await;
    scripts.leased("a").await;
    scripts.score(scripts.queue.leases(), "a", 1.0).await;

    let soon = scripts.tick(Tick { reap_ms: 60_000, ..TICK }).await;

    assert_eq!((soon.3, scripts.tick(TICK).await.3), (0, 1));
}

#[tokio::test]
async fn settled_jobs_are_forgotten_by_age_and_by_number_with_all_that_is_kept_of_them() {
    let mut scripts = started().await;
    for job in ["old", "b", "c", "d"] {
        let token = scripts.leased(job).await;
        scripts.settle(job, &token, &DONE).await.unwrap();
    }
    let now_s = scripts.now_ms().await / 1000.0;
    for (age, job) in [(100.0, "old"), (30.0, "b"), (20.0, "c"), (10.0, "d")] {
        scripts.score(scripts.queue.done(), job, now_s - age).await;
    }

    scripts.tick(Tick { done_s: 60, ..TICK }).await;
    let by_age = scripts.zset(scripts.queue.done()).await.len();
    scripts.tick(Tick { done_max: 1, ..TICK }).await;

    assert_eq!(by_age, 3);
    assert_eq!(scripts.zset(scripts.queue.done()).await.len(), 1);
    assert_eq!(scripts.redis.hkeys::<_, Vec<String>>(scripts.queue.data()).await.unwrap(), ["d"]);
    assert!(scripts.meta("c").await.is_empty() && !scripts.meta("d").await.is_empty());
}

#[tokio::test]
async fn dead_jobs_are_forgotten_by_age_number_and_bytes_and_the_bytes_are_counted_down() {
    let mut scripts = started().await;
    let now_s = scripts.now_ms().await / 1000.0;
    for (at, job) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let token = scripts.leased(job).await;
        scripts.settle(job, &token, &Settling { outcome: "dead", ..DONE }).await.unwrap();
        scripts.score(scripts.queue.dead(), job, now_s - 100.0 + at as f64).await;
    }
    let weight = |scripts: &Scripts| {
        let (mut redis, stats) = (scripts.redis.clone(), scripts.queue.stats());
        async move { redis.hget::<_, _, u64>(stats, "dead_bytes").await.unwrap() }
    };
    let each = weight(&scripts).await / 5;

    scripts.score(scripts.queue.dead(), "a", 1.0).await;
    scripts.tick(Tick { dead_s: 3_600, ..TICK }).await;
    let by_age = (scripts.zset(scripts.queue.dead()).await.len(), weight(&scripts).await);
    scripts.tick(Tick { dead_max: 3, ..TICK }).await;
    let by_number = (scripts.zset(scripts.queue.dead()).await.len(), weight(&scripts).await);
    scripts.tick(Tick { dead_bytes: each, ..TICK }).await;
    let by_bytes = (scripts.zset(scripts.queue.dead()).await, weight(&scripts).await);

    assert_eq!((by_age, by_number), ((4, 4 * each), (3, 3 * each)));
    assert_eq!((by_bytes.0.len(), by_bytes.0[0].0.as_str(), by_bytes.1), (1, "e", each));
}

#[tokio::test]
async fn what_is_forgotten_is_forgotten_in_bounded_batches_that_ask_to_be_called_again() {
    let mut scripts = started().await;
    for job in 0..25 {
        let (job, says) = (format!("j{job}"), Settling { outcome: "dead", ..DONE });
        let token = scripts.leased(&job).await;
        scripts.settle(&job, &token, &says).await.unwrap();
        scripts.score(scripts.queue.done(), &format!("d{job}"), 1.0).await;
    }

    let says = Tick { batch: 10, done_max: 0, dead_bytes: 0, done_s: 2_000_000_000, ..TICK };
    let mut left = Vec::new();
    for _ in 0..3 {
        let again = scripts.tick(says).await.1;
        let sets = [scripts.queue.done(), scripts.queue.dead()];
        let mut sizes = [0, 0];
        for (size, set) in sizes.iter_mut().zip(sets) {
            *size = scripts.zset(set).await.len();
        }
        left.push((sizes, again));
    }

    assert_eq!(left, [([15, 15], true), ([5, 5], true), ([0, 0], false)]);
}

#[tokio::test]
async fn bytes_that_belong_to_no_dead_job_are_forgotten_and_hold_nothing_up() {
    let mut scripts = started().await;
    let () = scripts.redis.hset(scripts.queue.stats(), "dead_bytes", 1_000).await.unwrap();

    let again = scripts.tick(Tick { dead_bytes: 10, ..TICK }).await.1;

    let bytes: i64 = scripts.redis.hget(scripts.queue.stats(), "dead_bytes").await.unwrap();
    assert_eq!((again, bytes), (false, 0));
}
