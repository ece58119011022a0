//! The wall as a worker has it: poison in the queue, secrets in the environment, signals.

use std::fs;

use darkroom::sandbox::faults::MARK;
use darkroom_jobs::{ErrorCode, Status};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    processes::{children_of, eventually, is_alive, status},
};

fn faulty(fault: &str) -> Vec<u8> {
    [&picture("plain.png")[..], format!("\n{MARK}{fault}").as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_pictures_kill_decoders_end_with_a_code_and_their_neighbors_are_done() {
    let darkroom = TestDarkroom::start().await;
    let mut worker =
        darkroom.worker(&[("DARKROOM_DECODE_TIMEOUT_MS", "3000"), ("DARKROOM_RETRY_MAX_MS", "500")]);
    let mut poison = Vec::new();
    for (fault, code) in [
        ("abort", ErrorCode::DecodeCrashed),
        ("overflow", ErrorCode::DecodeCrashed),
        ("allocate", ErrorCode::DecodeOutOfMemory),
        ("loop", ErrorCode::DecodeTimeout),
        ("scribble", ErrorCode::DecodeCrashed),
    ] {
        poison.push((darkroom.upload(faulty(fault)).await.0, code));
    }
    let mut good = Vec::new();
    for name in ["plain.jpg", "plain.png", "plain.webp", "gps.jpg", "alpha.png"] {
        good.push(darkroom.upload(picture(name)).await.0);
    }

    for job in &good {
        assert_eq!(darkroom.final_receipt(job).await.status, Status::Done);
    }
    for (job, code) in &poison {
        let receipt = darkroom.final_receipt(job).await;

        let error = receipt.error.expect("it failed");
        assert_eq!((receipt.status, receipt.attempts, &error.code), (Status::Failed, 2, code));
    }
    assert!(worker.is_running());
    worker.logged(&["decoder died", "decode_out_of_memory"]).await;
    worker.logged(&["decoders started"]).await;
}

/// Of headers, which this process reads itself, on threads that nobody can stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_comes_back_ends_its_worker_which_hands_back_the_other_jobs() {
    let darkroom = TestDarkroom::start().await;
    let (slow, _) = darkroom.upload(picture("plain.jpg")).await;
    let held = format!("fetched,job={slow}");
    let short = ("DARKROOM_DECODE_TIMEOUT_MS", "500");
    let mut worker = darkroom.worker(&[short, ("DARKROOM_TEST_STOP_AT", &held)]);
    worker.logged(&["stopped at a step"]).await;

    let (stuck, _) = darkroom.upload(faulty("never-read")).await;
    let receipt = darkroom.final_receipt(&stuck).await;
    let exit = worker.exit_code().await;
    let between = darkroom.producer.receipt(&slow).await.expect("redis answers").expect("the job is known");
    let _next = darkroom.worker(&[short]);

    let error = receipt.error.expect("it failed");
    assert_eq!((receipt.attempts, error.code), (2, ErrorCode::DecodeTimeout));
    assert_eq!(exit, Some(75), "{}", worker.log());
    assert_eq!((between.status, between.attempts), (Status::Queued, 0));
    let done = darkroom.final_receipt(&slow).await;
    assert_eq!((done.status, done.attempts, done.deliveries), (Status::Done, 1, 2));
}

#[tokio::test]
async fn decoders_have_no_environment_no_files_and_no_secret_in_their_memory() {
    let secret = "a-secret-of-the-tests-0123456789abcdef";
    let darkroom = TestDarkroom::start().await;
    let worker = darkroom.worker(&[("DARKROOM_API_TOKENS", secret), ("DARKROOM_HTTP_ADDR", "127.0.0.1:0")]);
    let job = darkroom.upload(picture("plain.jpg")).await.0;
    darkroom.final_receipt(&job).await;

    let decoders = children_of(worker.id());

    let has_worked =
        |decoder: &u32| limit(*decoder, "Max address space").is_some_and(|most| most != "unlimited");
    let worked = decoders.iter().find(|decoder| has_worked(decoder)).expect("one has made the picture");
    // 20 s are the deadline.
    assert_eq!(limit(*worked, "Max cpu time").as_deref(), Some("30"));
    for decoder in decoders {
        // Whoever is not root is shown nothing of it, which is right as well.
        let environment = fs::read(format!("/proc/{decoder}/environ")).unwrap_or_default();
        assert_eq!(environment.iter().filter(|byte| **byte != 0).count(), 0);
        let open: Vec<_> = fs::read_dir(format!("/proc/{decoder}/fd")).map_or(Vec::new(), |open| {
            open.flatten()
                .filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.display().to_string()))
                .collect()
        });
        let known =
            |file: &String| file.starts_with("socket:") || file.starts_with("/memfd:darkroom-picture");
        assert!(open.iter().all(known), "{open:?}");
        assert!(!memory_has(decoder, secret.as_bytes()), "the secret is in the memory of {decoder}");
        for (line, value) in [("NoNewPrivs:", "1"), ("Seccomp:", "2"), ("Name:", "darkroom-decode")] {
            assert_eq!(status(decoder, line).as_deref(), Some(value));
        }
        for name in ["Max open files", "Max processes", "Max core file size", "Max locked memory"] {
            assert_eq!(limit(decoder, name).as_deref(), Some("0"), "{name}");
        }
        let first_to_go = fs::read_to_string(format!("/proc/{decoder}/oom_score_adj"));
        assert_eq!(first_to_go.expect("anybody may read it").trim(), "1000");
    }
    if let Some(found) = memory_of(worker.id()) {
        assert!(found.iter().any(|part| has(part, secret.as_bytes())), "the search finds nothing anywhere");
    }
}

/// What bites, as the kernel tells.
fn limit(process: u32, name: &str) -> Option<String> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn memory_has(process: u32, secret: &[u8]) -> bool {
    memory_of(process).is_some_and(|parts| parts.iter().any(|part| has(part, secret)))
}

fn has(part: &[u8], secret: &[u8]) -> bool {
    part.windows(secret.len()).any(|window| window == secret)
}

/// What a process has written, if we may look.
fn memory_of(process: u32) -> Option<Vec<Vec<u8>>> {
    use std::os::unix::fs::FileExt as _;
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let memory = fs::File::open(format!("/proc/{process}/mem")).ok()?;
    let part = |line: &str| {
        let (bounds, rest) = line.split_once(' ')?;
        let (from, to) = bounds.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        if !rest.starts_with("rw") || rest.contains("[vvar") {
            return None;
        }
        let mut part = vec![0; usize::try_from(to - from).ok()?];
        memory.read_exact_at(&mut part, from).ok()?;
        Some(part)
    };
    Some(maps.lines().filter_map(part).collect())
}

/// SIGHUP, SIGINT and SIGTERM, by the mask of those that a process ignores.
fn ignores_signals(process: u32) -> bool {
    const ASKED: u64 = 1 | 1 << 1 | 1 << 14;
    let ignored = status(process, "SigIgn:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    ignored.is_some_and(|mask| mask & ASKED == ASKED)
}

#[tokio::test]
async fn decoders_leave_signals_to_the_worker_and_go_with_it() {
    let darkroom = TestDarkroom::start().await;
    for (signal, code) in [("TERM", Some(0)), ("KILL", None)] {
        let mut worker = darkroom.worker(&[]);
        worker.logged(&["decoders started"]).await;
        let decoders = children_of(worker.id());
        assert!(!decoders.is_empty());
        // Some have only just begun.
        eventually("the decoders are ready", || decoders.iter().all(|decoder| ignores_signals(*decoder)))
            .await;

        for decoder in &decoders {
            for to_all in ["INT", "TERM", "HUP"] {
                let sent = std::process::Command::new("kill")
                    .args([&format!("-{to_all}"), &decoder.to_string()])
                    .status();
                assert!(sent.unwrap().success());
            }
        }
        let job = darkroom.upload(picture("plain.jpg")).await.0;
        assert_eq!(darkroom.final_receipt(&job).await.status, Status::Done);
        assert!(decoders.iter().all(|decoder| is_alive(*decoder)));
        worker.signal(signal);

        assert_eq!(worker.exit_code().await, code);
        eventually("the decoders are gone", || !decoders.iter().any(|decoder| is_alive(*decoder))).await;
    }
}
