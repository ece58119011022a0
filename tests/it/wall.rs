//! The wall: decoders that go wrong in every way.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Parser;
use darkroom::{
    config::Imaging,
    imaging::{self, Limits, Preset, PresetName},
    sandbox::{Error, Photo, Priority, Program, Sandbox, faults::MARK},
};
use darkroom_jobs::ErrorCode;
use tempfile::TempDir;

use crate::support::{
    command::bare,
    darkroom::picture,
    processes::{children_of, eventually, is_alive, status},
};

/// A sandbox whose decoders are the binary that is tested.
pub fn sandbox(settings: &[&str]) -> Sandbox {
    started_as(Program::at(env!("CARGO_BIN_EXE_darkroom")), settings)
}

pub fn started_as(program: Program, settings: &[&str]) -> Sandbox {
    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        imaging: Imaging,
    }
    let settings = Arguments::parse_from([&["test"], settings].concat());
    Sandbox::with_program(&settings.imaging, program)
}

/// A good picture whose decoder does something else.
pub fn faulty(fault: &str) -> Bytes {
    [&picture("plain.png")[..], format!("\n{MARK}{fault}").as_bytes()].concat().into()
}

pub async fn made(sandbox: &Sandbox, original: impl Into<Bytes>) -> Result<Photo, Error> {
    sandbox.normalize(original.into(), PresetName::UserPhoto, Priority::Upload, |_| {}).await
}

fn code(made: Result<Photo, Error>) -> ErrorCode {
    made.expect_err("no picture can be made").code()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_dies_takes_nobody_with_it() {
    use ErrorCode::{DecodeCrashed, DecodeOutOfMemory, DecodeTimeout};
    let sandbox = sandbox(&["--decode-timeout", "4000"]);
    for (fault, expected) in [
        ("abort", DecodeCrashed),
        ("exit", DecodeCrashed),
        ("panic", DecodeCrashed),
        ("overflow", DecodeCrashed),
        ("scribble", DecodeCrashed),
        ("allocate", DecodeOutOfMemory),
        ("loop", DecodeTimeout),
        ("oversized", DecodeCrashed),
        ("unclean", DecodeCrashed),
        ("babble", DecodeCrashed),
    ] {
        let neighbor = |name| made(&sandbox, picture(name));

        let (one, failed, two, three) = tokio::join!(
            neighbor("plain.jpg"),
            made(&sandbox, faulty(fault)),
            neighbor("plain.webp"),
            neighbor("alpha.png"),
        );

        assert_eq!(code(failed), expected, "{fault}");
        for neighbor in [one, two, three] {
            assert!(neighbor.is_ok(), "beside {fault}: {neighbor:?}");
        }
    }
}

#[tokio::test]
async fn a_picture_is_the_same_on_both_sides_of_the_wall() {
    let sandbox = sandbox(&[]);
    for name in [
        "plain.jpg",
        "display-p3.jpg",
        "orientation-6.jpg",
        "animated.gif",
        "gps.jpg",
        "truncated.jpg",
        "pq.png",
    ] {
        let direct = imaging::normalize(&picture(name), &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});

        let behind = made(&sandbox, picture(name)).await;

        match direct {
            Ok(direct) => assert_eq!(behind.expect("it is made").normalized, direct, "{name}"),
            Err(direct) => {
                assert_eq!(behind.expect_err("it is refused").to_string(), Error::from(direct).to_string())
            }
        }
    }
}

#[tokio::test]
async fn whoever_gives_up_has_the_decoder_killed_and_everything_back() {
    // Room for one picture at a time.
    let sandbox = sandbox(&["--decode-timeout", "60000", "--image-memory", "12MiB"]);
    let started = Instant::now();

    let given_up = tokio::time::timeout(Duration::from_millis(500), made(&sandbox, faulty("loop"))).await;
    let next = made(&sandbox, picture("plain.png")).await;

    assert!(given_up.is_err());
    assert!(next.is_ok(), "{next:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// Also in the moment in which the answer comes.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_at_any_moment_costs_nobody_else_a_picture() {
    let sandbox = sandbox(&[]);
    for micros in (0..40_000).step_by(1_000) {
        drop(tokio::time::timeout(Duration::from_micros(micros), made(&sandbox, picture("plain.png"))).await);

        let next = made(&sandbox, picture("plain.png")).await;

        assert!(next.is_ok(), "after {micros} µs: {next:?}");
    }
}

#[tokio::test]
async fn files_that_kill_decoders_start_no_more_than_ten_a_second_and_are_counted() {
    let sandbox = sandbox(&[]);
    let started = Instant::now();

    for _ in 0..4 {
        made(&sandbox, faulty("abort")).await.expect_err("it dies");
    }
    let good = made(&sandbox, picture("plain.png")).await;

    assert!(good.is_ok(), "{good:?}");
    assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
    let measured = measured(&sandbox);
    for line in [
        "darkroom_decoder_deaths_total{code=\"decode_crashed\"} 4",
        "darkroom_decoder_held{by=\"seccomp\"} 1",
        "darkroom_decoders 1",
        "darkroom_work_pixels 0",
    ] {
        assert!(measured.contains(line), "{line} is missing in\n{measured}");
    }
}

pub fn measured(sandbox: &Sandbox) -> String {
    let (mut registry, mut text) = (prometheus_client::registry::Registry::default(), String::new());
    sandbox.metrics().register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

/// A sandbox whose decoders can be told from those of the tests beside it.
pub fn named(name: &str) -> Sandbox {
    let words = vec![name.into()];
    started_as(Program { words, ..Program::at(env!("CARGO_BIN_EXE_darkroom")) }, &[])
}

/// Those decoders.
pub fn decoders_named(name: &str) -> Vec<u32> {
    let is_meant = |process: &u32| {
        let words = fs::read_to_string(format!("/proc/{process}/cmdline"));
        words.is_ok_and(|words| words.split('\0').any(|word| word == name))
    };
    children_of(std::process::id()).into_iter().filter(is_meant).collect()
}

#[tokio::test]
async fn a_decoder_is_replaced_when_it_has_made_a_thousand_pictures() {
    let sandbox = named("replaced");
    let tiny = darkroom::dev::pictures::sized("png", 8, 8).unwrap();

    made(&sandbox, tiny.clone()).await.expect("it is made");
    let first = decoders_named("replaced");
    for _ in 0..1_000 {
        made(&sandbox, tiny.clone()).await.expect("it is made");
    }

    assert_eq!(first.len(), 1);
    assert_ne!(decoders_named("replaced"), first);
}

#[tokio::test]
async fn a_decoder_that_died_idle_is_replaced_and_no_picture_is_to_blame() {
    let sandbox = named("died-idle");
    made(&sandbox, picture("plain.png")).await.expect("it is made");
    let decoders = decoders_named("died-idle");
    assert!(!decoders.is_empty());
    for decoder in &decoders {
        let killed = std::process::Command::new("kill").args(["-9", &decoder.to_string()]).status();
        assert!(killed.is_ok_and(|killed| killed.success()));
    }
    eventually("the decoders are dead", || !decoders.iter().any(|decoder| is_alive(*decoder))).await;

    made(&sandbox, picture("plain.png")).await.expect("it is made by another one");
}

#[tokio::test]
async fn a_large_picture_leaves_no_memory_behind() {
    let sandbox = named("large");
    let large = darkroom::dev::pictures::sized("bmp", 2_000, 1_500).unwrap();
    assert!(large.len() > 8 << 20);

    made(&sandbox, large).await.expect("it is made");

    let decoders = decoders_named("large");
    assert_eq!(decoders.len(), 1);
    let kib = |line| status(decoders[0], line)?.trim_end_matches(" kB").parse::<u64>().ok();
    let shared = kib("RssShmem:");
    assert!(shared.is_some_and(|kib| kib <= 5 << 10), "{shared:?} KiB");
    // What it keeps for the next picture goes when none comes.
    eventually("its own memory is small again", || kib("RssAnon:").is_some_and(|kib| kib < 8 << 10)).await;
}

#[tokio::test]
async fn a_program_that_is_no_decoder_is_told_and_nobody_waits_for_it() {
    for path in ["/nowhere/darkroom", "/bin/true", "/bin/sh"] {
        let sandbox = started_as(Program::at(path), &[]);

        let made = tokio::time::timeout(Duration::from_secs(5), made(&sandbox, picture("plain.png"))).await;

        assert!(matches!(made, Ok(Err(Error::NoDecoder))), "{path}: {made:?}");
    }
}

#[tokio::test]
async fn no_decoder_outlives_a_sandbox() {
    let sandbox = named("outlived");
    made(&sandbox, picture("plain.png")).await.expect("it is made");
    let decoders = decoders_named("outlived");

    drop(sandbox);

    assert_eq!(decoders.len(), 1);
    assert!(!decoders.into_iter().any(is_alive));
}

pub fn decoders_of(parent: u32) -> Vec<u32> {
    let is_decoder = |process: &u32| {
        fs::read(format!("/proc/{process}/cmdline"))
            .is_ok_and(|words| words.starts_with(b"darkroom\0decoder\0"))
    };
    children_of(parent).into_iter().filter(is_decoder).collect()
}

#[tokio::test]
async fn no_decoder_outlives_its_parent_even_in_an_endless_loop() {
    let folder = TempDir::new().unwrap();
    let (input, output) = (folder.path().join("in.png"), folder.path().join("out.jpg"));
    fs::write(&input, faulty("loop")).unwrap();
    let mut parent = bare(&["normalize"])
        .args([&input, std::path::Path::new("-o"), &output])
        .env("DARKROOM_DECODE_TIMEOUT_MS", "60000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = parent.id().unwrap();
    eventually("a decoder runs", || decoders_of(id).iter().any(|decoder| cpu_ticks(*decoder) > 20)).await;
    let decoders = decoders_of(id);

    parent.kill().await.unwrap();

    eventually("the decoder is gone", || !decoders.iter().any(|decoder| is_alive(*decoder))).await;
    assert!(!output.exists());
}

/// Time of the processor that a process has used, in hundredths of a second.
pub fn cpu_ticks(process: u32) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return 0 };
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn a_decoder_is_for_darkroom_alone() {
    use crate::support::command::Call as _;

    let by_hand = bare(&["decoder"]).ended().await;
    let of_a_stranger = bare(&["decoder", "1"]).ended().await;

    assert_eq!((by_hand.code, of_a_stranger.code), (Some(70), Some(70)));
    assert!(by_hand.stderr.contains("started by darkroom itself"), "{}", by_hand.stderr);
    assert!(!bare(&["--help"]).ended().await.stdout.contains("decoder\n"));
}
