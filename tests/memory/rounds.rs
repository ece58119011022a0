//! Rounds of hostile files: memory and processes are as they were before.

use std::{fs, path::PathBuf, sync::PoisonError, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use clap::Parser;
use darkroom::{
    config::Imaging,
    dev::pictures::{names, picture},
    imaging::PresetName,
    sandbox::{Priority, Program, Sandbox, faults::MARK},
};

use super::{
    ALONE, HELD,
    processes::{children_of, eventually, is_alive, status},
};

/// Of all files, unless `DARKROOM_TEST_ROUNDS` says more.
const ROUNDS: usize = 10;

/// What may be held more than after the first rounds, in the worker and in a decoder.
const MORE_BYTES: usize = 2 << 20;
const MORE_KIB: u64 = 32 << 10;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    imaging: Imaging,
}

/// Those of `DARKROOM_TEST_CORPUS`, else rendered ones.
fn files() -> Vec<Bytes> {
    let corpus =
        std::env::var_os("DARKROOM_TEST_CORPUS").map(|folder| PathBuf::from(folder).join("hostile/images"));
    let entries = corpus.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let files: Vec<Bytes> = entries.filter_map(|entry| Some(fs::read(entry.path()).ok()?.into())).collect();
    if files.is_empty() { names().filter_map(picture).map(Bytes::from).collect() } else { files }
}

/// A file that kills its decoder.
fn deadly() -> Bytes {
    [&picture("plain.png").unwrap()[..], format!("\n{MARK}allocate").as_bytes()].concat().into()
}

async fn round(sandbox: &Sandbox, files: &[Bytes]) {
    let all = files.iter().map(|file| {
        // Whether it is made or refused is for other tests.
        async { drop(sandbox.normalize(file.clone(), PresetName::UserPhoto, Priority::Upload, |_| {}).await) }
    });
    futures_util::future::join_all(all).await;
}

/// The most memory of its own that one of the decoders has, KiB, once each place has its decoder again.
async fn most_kib() -> u64 {
    let places = std::thread::available_parallelism().unwrap().get();
    eventually("each place has a decoder", || children_of(std::process::id()).len() == places).await;
    let own = |decoder| status(decoder, "RssAnon:")?.trim_end_matches(" kB").parse().ok();
    children_of(std::process::id()).into_iter().filter_map(own).max().expect("there are decoders")
}

#[test]
fn rounds_of_hostile_files_leave_memory_and_processes_as_before() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rounds = std::env::var("DARKROOM_TEST_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let files = files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = Arguments::parse_from(["test"]).imaging;
    let sandbox = Sandbox::with_program(&settings, Program::at(env!("CARGO_BIN_EXE_darkroom")));

    runtime.block_on(async {
        for _ in 0..2 {
            round(&sandbox, &[&[deadly()], &files[..]].concat()).await;
            round(&sandbox, &files).await;
        }
        let (held, most) = (HELD.load(Relaxed), most_kib().await);
        for _ in 0..rounds {
            round(&sandbox, &files).await;
        }
        let (held_now, most_now) = (HELD.load(Relaxed), most_kib().await);

        let count = files.len();
        println!("{rounds} rounds of {count} files: {held} → {held_now} B, decoders {most} → {most_now} KiB");
        assert!(held_now <= held + MORE_BYTES, "{held} → {held_now} B");
        assert!(most_now <= most + MORE_KIB, "{most} → {most_now} KiB");
    });
    drop(sandbox);
    assert!(!children_of(std::process::id()).into_iter().any(is_alive));
}
