//! The script that gives out turns at hosts, confined to its keys.

use darkroom::queue::scripts;
use redis::AsyncCommands as _;

use crate::support::scripts::Scripts;

async fn take(scripts: &mut Scripts, host: &str, gap_ms: &str, horizon_ms: &str) -> (u64, u64) {
    let keys = [scripts.keys.pace(host)];
    let args = [gap_ms, horizon_ms].map(str::to_owned);
    scripts.call(&scripts::PACE_TAKE, &keys, &args).await.expect("the script is answered")
}

#[tokio::test]
async fn turns_at_a_host_are_a_gap_apart_and_other_hosts_have_their_own() {
    let mut scripts = Scripts::start().await;

    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(take(&mut scripts, "shop.com", "60000", "3600000").await);
    }
    let other = take(&mut scripts, "cdn.com", "60000", "3600000").await;

    let near =
        |(wait, ours): (u64, u64), expected: u64| ours == 1 && wait <= expected && wait + 5_000 > expected;
    for (turn, wait) in waits.into_iter().enumerate() {
        assert!(near(wait, 60_000 * turn as u64), "turn {turn}: {wait:?}");
    }
    assert_eq!(other, (0, 1));
}

#[tokio::test]
async fn beyond_the_horizon_no_turn_is_given_out_and_nothing_is_reserved() {
    let mut scripts = Scripts::start().await;
    for _ in 0..3 {
        take(&mut scripts, "shop.com", "60000", "100000").await;
    }

    let refused = [
        take(&mut scripts, "shop.com", "60000", "100000").await,
        take(&mut scripts, "shop.com", "60000", "100000").await,
    ];
    let key = scripts.keys.pace("shop.com");
    let ttl_ms: u64 = scripts.redis.pttl(&key).await.expect("redis answers");

    assert_eq!(refused, [(100_000, 0), (100_000, 0)]);
    assert!(ttl_ms <= 182_000, "the key lives for {ttl_ms} ms");
}

#[tokio::test]
async fn a_turn_of_a_clock_that_was_put_back_is_forgotten_and_a_key_goes_when_its_turn_is_over() {
    let mut scripts = Scripts::start().await;
    let key = scripts.keys.pace("shop.com");
    let far = scripts.now_ms().await + 9e9;
    let () = scripts.redis.set(&key, format!("{far:.0}")).await.expect("redis answers");

    let turn = take(&mut scripts, "shop.com", "250", "3600000").await;
    let ttl_ms: u64 = scripts.redis.pttl(&key).await.expect("redis answers");

    assert_eq!(turn, (0, 1));
    assert!((1..=1_250).contains(&ttl_ms), "the key lives for {ttl_ms} ms");
}

#[tokio::test]
async fn wrong_arguments_are_an_error_and_not_a_turn() {
    let mut scripts = Scripts::start().await;
    let keys = [scripts.keys.pace("shop.com")];

    let answer: redis::RedisResult<(u64, u64)> =
        scripts.call(&scripts::PACE_TAKE, &keys, &["soon".into(), "1".into()]).await;

    assert!(answer.expect_err("it is refused").to_string().contains("wrong arguments"));
}
