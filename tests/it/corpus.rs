//! The pictures of other people's bug reports, judged by the script that lies beside them. They are not part of the
//! repository: `DARKROOM_TEST_CORPUS` names the folder that has `check.py`, `images` and `hostile/images`.

use std::{path::PathBuf, process::Command};

fn failures(folder: &str, limits: &[&str]) -> Option<Vec<String>> {
    let Some(corpus) = std::env::var_os("DARKROOM_TEST_CORPUS").map(PathBuf::from) else {
        eprintln!("left out: DARKROOM_TEST_CORPUS is not set");
        return None;
    };
    let normalize = format!("{} normalize {{in}} -o {{out}}", env!("CARGO_BIN_EXE_darkroom"));
    let check = Command::new("python3")
        .arg(corpus.join("check.py"))
        .args(["--dir", folder, "--cmd", &normalize])
        .args(limits)
        // The script has its own patience, for machines on which other tests run.
        .env("DARKROOM_DECODE_TIMEOUT_MS", "60000")
        .output()
        .unwrap();
    let report = String::from_utf8(check.stdout).unwrap();
    assert!(report.contains("score: "), "{}", String::from_utf8_lossy(&check.stderr));
    Some(report.lines().filter(|line| line.starts_with("FAIL")).map(str::to_owned).collect())
}

#[test]
fn pictures_of_all_kinds_come_out_right() {
    let Some(failures) = failures("images", &[]) else { return };

    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn hostile_files_are_answered_in_bounds() {
    let Some(failures) = failures("hostile/images", &["--max-cpu", "2", "--max-rss", "300"]) else { return };

    assert_eq!(failures, Vec::<String>::new());
}
