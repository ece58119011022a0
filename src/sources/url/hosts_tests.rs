use super::*;

const LIMITS: Limits = Limits {
    connections: 2,
    gap: Duration::from_millis(250),
    failures: 3,
    open: Duration::from_secs(60),
    open_most: Duration::from_secs(150),
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fails so often, and says for how long the host is left alone at the end.
fn fail(state: &mut State, now: Instant, times: u32) -> Option<u64> {
    let mut shut = None;
    for _ in 0..times {
        let is_trial = state.enter(now).expect("it is not shut");
        shut = state.failed(now, is_trial, &LIMITS);
        state.on_trial = false;
    }
    shut.map(|time| time.as_secs())
}

#[test]
fn failures_in_a_row_shut_a_host_for_longer_each_time() {
    let (mut state, mut now) = (State::default(), Instant::now());

    assert_eq!(fail(&mut state, now, 2), None);
    assert!(!state.worked(now));
    assert_eq!(fail(&mut state, now, 3), Some(60));
    assert_eq!(state.enter(now + secs(59)), Err(secs(1)));

    for doubled in [120, 150, 150] {
        now += secs(200);
        assert_eq!(fail(&mut state, now, 1), Some(doubled));
    }

    now += secs(200);
    assert_eq!((state.enter(now), state.worked(now)), (Ok(true), true));
    assert_eq!((fail(&mut state, now, 2), fail(&mut state, now, 1)), (None, Some(60)));
}

#[test]
fn an_answer_to_an_earlier_request_does_not_open_what_was_shut_meanwhile() {
    let (mut state, now) = (State::default(), Instant::now());

    fail(&mut state, now, 3);

    assert!(!state.worked(now));
    assert_eq!(state.failed(now, false, &LIMITS), None);
    assert_eq!(state.enter(now), Err(secs(60)));
}

#[test]
fn who_is_put_off_because_a_host_is_busy_waits_longer_each_time_within_bounds() {
    let mut state = State::default();

    let waits: Vec<_> = (0..200).map(|_| state.turn_away().as_secs()).collect();
    for _ in 0..100 {
        state.begin(Instant::now(), LIMITS.gap);
    }

    assert_eq!((waits[0], waits[9], waits[199]), (5, 20, 300));
    assert_eq!(state.turn_away(), secs(5));
}

#[test]
fn requests_to_a_host_begin_a_gap_apart() {
    let (mut state, now) = (State::default(), Instant::now());

    let starts: Vec<_> = (0..3).map(|_| state.begin(now, LIMITS.gap) - now).collect();
    let later = state.begin(now + secs(9), LIMITS.gap) - now;

    assert_eq!(starts, [0, 250, 500].map(Duration::from_millis));
    assert_eq!(later, secs(9));
}

#[tokio::test]
async fn one_alone_tries_whether_a_host_is_back_and_who_gives_up_leaves_the_trial_to_others() {
    let hosts =
        Hosts::new(Limits { gap: Duration::ZERO, failures: 1, open: Duration::from_millis(50), ..LIMITS });
    hosts.turn("shop.com").await.unwrap().failed();
    let shut = hosts.turn("shop.com").await.err();
    tokio::time::sleep(Duration::from_millis(60)).await;

    let first = hosts.turn("shop.com").await.unwrap();
    let second = hosts.turn("shop.com").await.unwrap_err();
    drop(first);
    let third = hosts.turn("shop.com").await;

    assert!(shut.is_some_and(|left| left <= Duration::from_millis(50)), "{shut:?}");
    assert_eq!((second, third.is_ok()), (TRIAL, true));
}

#[tokio::test]
async fn a_host_has_two_connections_and_a_third_is_put_off_after_a_moment() {
    let hosts = Hosts::new(Limits { gap: Duration::ZERO, ..LIMITS });
    let held = (hosts.turn("shop.com").await.unwrap(), hosts.turn("shop.com").await.unwrap());

    let third = hosts.turn("shop.com").await;
    let other = hosts.turn("other.com").await;
    drop(held);
    let free = hosts.turn("shop.com").await;

    assert!(third.is_err_and(|after| (4..=6).contains(&after.as_secs())));
    assert!(other.is_ok() && free.is_ok());
}

#[tokio::test]
async fn a_host_that_asks_to_wait_is_left_alone_but_not_for_ever() {
    let hosts = Hosts::new(LIMITS);

    hosts.turn("shop.com").await.unwrap().asked_to_wait(secs(999_999));

    let left = hosts.shut_for("shop.com").expect("it is left alone");
    assert!((149..=150).contains(&left.as_secs()), "{left:?}");
}

#[tokio::test]
async fn no_number_of_hosts_makes_the_memory_grow() {
    let hosts = Hosts::new(LIMITS);
    let held = hosts.turn("held.com").await.unwrap();

    for number in 0..2 * MAX_HOSTS {
        hosts.turn(&format!("{number}.com")).await.unwrap().worked();
    }
    let clean = hosts.len();
    for number in 0..2 * MAX_HOSTS {
        hosts.turn(&format!("{number}.net")).await.unwrap().failed();
    }

    assert!(clean <= MAX_HOSTS && hosts.len() <= MAX_HOSTS, "{clean}, {}", hosts.len());
    assert!(hosts.known().contains_key("held.com"), "a host in use was forgotten");
    drop(held);
}
