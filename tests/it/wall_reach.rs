//! The wall: what a decoder that was taken over can reach, with all parts of the wall and with some.

use std::{fs, path::Path};

use darkroom::{
    imaging::{self, Limits, Preset},
    sandbox::{
        Error, Program, Sandbox,
        child::{WITHOUT_LANDLOCK, WITHOUT_LIMITS, WITHOUT_SECCOMP},
        faults::MARK,
        lacking,
    },
};
use darkroom_jobs::ErrorCode;

use crate::{
    support::{
        command::{Call as _, bare},
        darkroom::picture,
    },
    wall::{faulty, made, measured, sandbox, started_as},
};

/// Answers of the kernel.
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;

/// What needs a descriptor.
const OPENS: [&str; 9] = ["file", "create", "path", "memfd", "tcp", "udp", "unix", "pair", "io_uring"];
const FOR_ITSELF: [&str; 14] = [
    "file", "create", "folder", "path", "memfd", "tcp", "udp", "unix", "pair", "fork", "thread", "execute",
    "limit", "io_uring",
];
const ON_OTHERS: [&str; 4] = ["memory", "read", "trace", "signal"];

/// A sandbox whose decoders leave parts of the wall out.
fn sandbox_without(parts: &[&str]) -> Sandbox {
    let words = parts.iter().map(Into::into).collect();
    started_as(Program { words, ..Program::at(env!("CARGO_BIN_EXE_darkroom")) }, &[])
}

/// What a decoder says that was to try something, each with how it ended.
async fn tried(sandbox: &Sandbox, fault: &str) -> Vec<(String, String)> {
    let Err(Error::Imaging(imaging::error::Error::Corrupt(text))) = made(sandbox, faulty(fault)).await else {
        panic!("the decoder did not tell");
    };
    let words = |what: &str| what.split_once(' ').map(|(name, end)| (name.to_owned(), end.to_owned()));
    text.split(", ").filter_map(words).collect()
}

fn all_ended(tried: &[(String, String)], names: &[&str], errno: i32) {
    for name in names {
        assert!(tried.contains(&((*name).into(), errno.to_string())), "{name} in {tried:?}");
    }
}

#[tokio::test]
async fn a_decoder_that_was_taken_over_reaches_no_file_no_socket_and_no_other_process() {
    for parts in [&[][..], &[WITHOUT_LIMITS, WITHOUT_LANDLOCK]] {
        let sandbox = sandbox_without(parts);

        let tries = tried(&sandbox, "try").await;
        let program = tried(&sandbox, "try-execve").await;

        let names: Vec<_> = tries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [&FOR_ITSELF[..], &ON_OTHERS].concat());
        all_ended(&tries, &names, EPERM);
        all_ended(&program, &["execve"], EPERM);
    }
}

/// Or the test above would prove nothing.
#[tokio::test]
async fn a_process_that_nothing_holds_succeeds_with_each_of_these() {
    let sandbox = sandbox_without(&[WITHOUT_LIMITS, WITHOUT_LANDLOCK, WITHOUT_SECCOMP]);

    let tries = tried(&sandbox, "try-for-itself").await;
    let program = made(&sandbox, faulty("try-execve")).await;

    for name in FOR_ITSELF {
        // Many machines forbid it to everybody.
        let is_there = tries.contains(&(name.into(), "0".into())) || name == "io_uring";
        assert!(is_there, "{name} in {tries:?}");
    }
    // It is another program then, and tells nothing.
    assert_eq!(program.map_err(|error| error.code()).err(), Some(ErrorCode::DecodeCrashed));
}

/// One wall may be missing, in a container or on an old kernel. The others hold without it.
#[tokio::test]
async fn without_a_filter_of_system_calls_files_sockets_and_processes_are_out_of_reach_all_the_same() {
    let sandbox = sandbox_without(&[WITHOUT_SECCOMP]);

    let tries = tried(&sandbox, "try").await;

    all_ended(&tries, &OPENS, EMFILE);
    all_ended(&tries, &["memory"], EMFILE);
    if !darkroom_tells_of("landlock").await {
        return eprintln!("left out: this kernel has not all of landlock");
    }
    all_ended(&tries, &["folder"], EACCES);
    all_ended(&tries, &["read", "trace", "signal"], EPERM);
    all_ended(&tried(&sandbox, "try-execve").await, &["execve"], EACCES);
}

#[tokio::test]
async fn landlock_holds_files_ports_programs_and_other_processes_by_itself() {
    if !darkroom_tells_of("landlock").await {
        return eprintln!("left out: this kernel has not all of landlock");
    }
    let sandbox = sandbox_without(&[WITHOUT_LIMITS, WITHOUT_SECCOMP]);

    let tries = tried(&sandbox, "try").await;

    all_ended(&tries, &["file", "create", "folder", "tcp", "memory"], EACCES);
    all_ended(&tries, &["read", "trace", "signal"], EPERM);
    all_ended(&tried(&sandbox, "try-execve").await, &["execve"], EACCES);
}

/// Decoders of films like to have a thread for each core.
#[tokio::test]
async fn heic_and_avif_are_made_where_no_thread_can_be_started() {
    let sandbox = sandbox(&[]);
    assert!(tried(&sandbox, "try").await.contains(&("thread".into(), EPERM.to_string())));

    for name in [
        "plain.heic",
        "grid.heic",
        "10-bit.heic",
        "alpha.heic",
        "plain.avif",
        "10-bit.avif",
        "444.avif",
        "alpha.avif",
    ] {
        let direct = imaging::normalize(&picture(name), &Preset::USER_PHOTO, &Limits::default(), &mut |_| {});

        let behind = made(&sandbox, picture(name)).await;

        let direct = direct.expect("it is a picture");
        assert_eq!(behind.expect("it is made").normalized, direct, "{name}");
    }
    assert!(measured(&sandbox).contains("darkroom_decoder_held{by=\"seccomp\"} 1"));
}

/// Whether all of that part holds decoders here.
async fn darkroom_tells_of(part: &str) -> bool {
    decoders_line().await.is_some_and(|line| line.split(' ').any(|word| word == part))
}

async fn decoders_line() -> Option<String> {
    let told = bare(&["--version", "--verbose"]).ended().await.stdout;
    told.lines().find_map(|line| line.strip_prefix("decoders:")).map(str::trim).map(str::to_owned)
}

/// Both have been in kernels for years, Landlock with all its rights since Linux 6.12.
#[tokio::test]
async fn this_machine_has_the_whole_wall_or_the_tests_above_prove_little() {
    assert_eq!(decoders_line().await.as_deref(), Some("processes held by limits seccomp landlock"));
}

#[test]
fn what_a_machine_lacks_is_told_as_a_warning_by_config_check() {
    let check = |json: bool| {
        let words: &[&str] = if json { &["config", "check", "--json"] } else { &["config", "check"] };
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_darkroom"));
        let output = command.args(words).env_clear().env("S3_BUCKET", "media").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };

    let whole = check(false);
    let lacking = lacking::without(&[lacking::LANDLOCK, lacking::SECCOMP], || [check(false), check(true)]);
    let none = lacking::without(&[lacking::SHARED_MEMORY], || check(false));

    assert_eq!(whole, (Some(0), "every setting can be used\n".into()));
    let [(code, text), (code_json, json)] = lacking;
    assert_eq!((code, code_json), (Some(0), Some(0)), "{text}{json}");
    for part in ["landlock", "seccomp"] {
        assert!(text.contains(&format!("warning: {part}: is missing")), "{text}");
        let line = json.lines().find(|line| line.contains(&format!("\"machine\":\"{part}\"")));
        assert!(line.is_some_and(|line| line.contains("\"level\":\"warning\"")), "{json}");
    }
    assert!(
        none.1.contains("warning: decoders: none can be started here: could not make memory"),
        "{}",
        none.1
    );
}

/// What tests can make a decoder do is compiled for them alone.
#[test]
fn faults_are_behind_a_feature_of_the_tests() {
    let source = |file: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let gate = "#[cfg(feature = \"test-hooks\")]\n";

    for module in ["pub mod faults;", "pub mod lacking;", "mod tries;"] {
        assert!(source("src/sandbox/mod.rs").contains(&format!("{gate}{module}")), "{module}");
    }
    let child = source("src/sandbox/child.rs");
    assert!(child.contains("!(cfg!(feature = \"test-hooks\") && words.iter().any("));
    let uses: Vec<_> = child.match_indices("faults::").collect();
    assert_eq!(uses.len(), 1);
    assert!(child[..uses[0].0].trim_end_matches("        if let Some(answer) = super::").ends_with(gate));
    assert!(source("Dockerfile").contains(&format!("! grep -qa '{MARK}' /out/darkroom")));
}
