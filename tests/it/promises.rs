//! What documents call the proof of a promise is there: a test of that name, in that file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::layers::{root, rust_files};

/// The suites whose tests documents name.
const SUITES: [&str; 2] = ["tests/it", "tests/chaos"];

/// Files of suites, by the name that documents give them: tests of each.
type Tests = BTreeMap<String, BTreeSet<String>>;

#[test]
fn every_test_that_a_document_names_is_there() {
    let tests = tests();

    let mut named = 0;
    for document in documents() {
        let text = read(&document);
        for (file, name) in quoted(&text).into_iter().filter_map(|word| word.split_once("::")) {
            // The head of the page shows the form; a test's name is written in small letters.
            if (file, name) == ("file", "name") || name.chars().any(char::is_uppercase) {
                continue;
            }
            let of_file = tests.get(file).unwrap_or_else(|| panic!("{document:?}: no suite has {file}.rs"));
            let is_there = of_file.iter().any(|test| is_short_for(name, test));
            assert!(is_there, "{document:?}: {file}.rs has no test {name}");
            named += 1;
        }
    }
    assert!(named > 30, "only {named} tests are named");
}

#[test]
fn every_promise_has_a_proof() {
    let tests = tests();
    let page = read(&root().join("docs/job-lifecycle.md"));
    let (_, table) = page.split_once("\n| promise | proof |\n").expect("the table is there");
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();

    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let proof = row.rsplit('|').nth(1).expect("it has two cells");
        let words = quoted(proof);
        // A test, which the other test looks for, or all tests of a file.
        let proves = |word: &&str| word.contains("::") || tests.contains_key(*word);
        assert!(words.iter().any(proves), "nothing proves {row}");
        let unknown: Vec<_> = words.iter().filter(|word| !proves(word) && !is_way_to_run(word)).collect();
        assert!(unknown.is_empty(), "no suite has the files {unknown:?}");
    }
}

/// Their tests call them through the support that confines the caller.
#[test]
fn every_script_is_called_by_a_user_who_may_touch_nothing_but_its_keys() {
    let files = ["tests/it", "tests/support"].into_iter().flat_map(rust_files);
    let files = files.filter(|path| !path.ends_with(file!())).map(|path| read(&path));
    let is_confined = |text: &String| text.contains("Scripts::start()") || text.contains("impl Scripts");
    let confined: String = files.filter(is_confined).collect();
    let words: BTreeSet<_> = confined.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();

    let folder = fs::read_dir(root().join("src/queue/lua")).expect("it is there");
    let scripts: Vec<_> = folder.map(|entry| name_of(&entry.expect("it can be read").path())).collect();
    assert!(scripts.len() > 15, "{scripts:?}");
    for name in scripts {
        assert!(words.contains(&*name.to_uppercase()), "nobody calls {name} as the confined user");
    }
    assert!(confined.contains("jobs/src/enqueue.lua"), "nobody calls enqueue as the confined user");
}

#[test]
fn a_name_may_be_shortened_and_no_other_is_taken_for_it() {
    assert!(is_short_for("a_job_…", "a_job_runs") && is_short_for("a_…_runs", "a_job_runs"));
    assert!(is_short_for("a_job_runs", "a_job_runs"));
    assert!(!is_short_for("a_job", "a_job_runs") && !is_short_for("a_job_…", "no_job_runs"));
}

/// What stands between single backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// An ellipsis stands for what a long name has there.
fn is_short_for(name: &str, test: &str) -> bool {
    match name.split_once('…') {
        None => name == test,
        Some((begin, end)) => {
            test.len() >= begin.len() + end.len() && test.starts_with(begin) && test.ends_with(end)
        }
    }
}

fn tests() -> Tests {
    let mut found = Tests::new();
    for path in SUITES.into_iter().flat_map(rust_files) {
        found.entry(name_of(&path)).or_default().extend(names(&read(&path)));
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("docs")).expect("it is there");
    let files = files.map(|entry| entry.expect("it can be read").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// `NAME=value` or `make task`: how a test is told to go far, or at all.
fn is_way_to_run(word: &str) -> bool {
    word.starts_with("make ") || word.split_once('=').is_some_and(|(name, _)| name.starts_with("DARKROOM_"))
}

/// The name of a module: of `model/mod.rs` that of the folder.
fn name_of(path: &Path) -> String {
    let is_folder = path.file_name().is_some_and(|name| name == "mod.rs");
    let path = if is_folder { path.parent().expect("it is in a folder") } else { path };
    path.file_stem().expect("it has a name").to_string_lossy().into_owned()
}

/// Functions below a `#[test]` or `#[tokio::test…]`, whatever other attributes stand between.
fn names(text: &str) -> Vec<String> {
    let (mut found, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            found.extend(is_test.then(|| name.to_owned()));
            is_test = false;
        }
    }
    found
}
