//! Every script says in its head what it does, touches and answers; here the heads are held against the bodies.

use std::{collections::BTreeSet, fs, path::Path};

/// A script, split where its head ends.
pub struct Lua {
    pub name: String,
    pub head: String,
    pub body: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn scripts() -> Vec<Lua> {
    let folder = fs::read_dir(root().join("src/queue/lua")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let is_head = |line: &&str| line.starts_with("--") || line.starts_with("#!");
        let head: Vec<_> = text.lines().take_while(is_head).collect();
        let body: Vec<_> = text.lines().skip(head.len()).collect();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Lua { name, head: head.join("\n"), body: body.join("\n") }
    };
    folder.chain([root().join("jobs/src/enqueue.lua")]).map(read).collect()
}

/// What stands in the brackets of every `KEYS[…]` or `ARGV[…]`.
fn indexes<'a>(text: &'a str, of: &str) -> Vec<&'a str> {
    let open = format!("{of}[");
    let rest = text.split(&open).skip(1);
    rest.map(|rest| rest.split(']').next().unwrap().trim()).collect()
}

fn numbers(indexes: &[&str]) -> BTreeSet<u32> {
    indexes.iter().filter_map(|index| index.parse().ok()).collect()
}

#[test]
fn every_head_names_the_script_what_it_returns_and_what_a_repetition_does() {
    for Lua { name, head, .. } in scripts() {
        let lines: Vec<_> = head.lines().collect();
        assert!(lines[1].starts_with(&format!("-- {name}: ")), "{name} does not say what it does");
        for word in ["-- Returns  ", "-- Repeat   "] {
            assert!(lines.iter().any(|line| line.starts_with(word)), "{name} has no line {word:?}");
        }
    }
}

#[test]
fn every_script_but_the_producers_runs_when_redis_is_full() {
    for Lua { name, head, .. } in scripts() {
        let first = head.lines().next().unwrap();
        let expected = if name == "enqueue" { "#!lua" } else { "#!lua flags=allow-oom" };
        assert_eq!(first, expected, "{name}");
    }
}

#[test]
fn every_input_is_described_and_used() {
    for Lua { name, head, body } in scripts() {
        for of in ["KEYS", "ARGV"] {
            let (described, used) = (indexes(&head, of), indexes(&body, of));
            let many = described.iter().any(|index| index.contains('.') || index.contains('…'))
                || head.contains(&format!("-- {of}     for each queue"));
            let computed = used.iter().any(|index| index.parse::<u32>().is_err());

            assert_eq!(numbers(&described), numbers(&used), "{of} of {name}");
            assert_eq!(many, computed, "{of} of {name}: some are taken by a computed number");
            let numbered = numbers(&described);
            assert!(numbered.iter().copied().eq(1..=numbered.len() as u32), "{of} of {name} have a gap");
        }
    }
}

#[test]
fn every_script_has_one_caller() {
    let sources = rust_files(&root().join("src"));
    for Lua { name, .. } in scripts().into_iter().filter(|script| script.name != "enqueue") {
        let constant = format!("scripts::{}", name.to_uppercase());
        let calls: usize = sources.iter().map(|source| source.matches(&constant).count()).sum();
        assert_eq!(calls, 1, "{constant} is called {calls} times");
    }
}

/// A stranger's metadata lands beside our fields: whoever sees a job first has to clear the same ones.
#[test]
fn every_script_that_sees_a_strangers_job_forgets_the_same_fields() {
    let mut lists = Vec::new();
    for Lua { name, body, .. } in scripts() {
        let flat = body.split_whitespace().collect::<Vec<_>>().join(" ");
        for call in flat.split("redis.call('HDEL', meta, 'result'").skip(1) {
            let fields: BTreeSet<_> =
                call.split(')').next().unwrap().split('\'').skip(1).step_by(2).map(str::to_owned).collect();
            lists.push((name.clone(), fields));
        }
    }

    assert!(lists.len() >= 2, "{lists:?}");
    for (name, fields) in &lists {
        assert_eq!(fields, &lists[0].1, "{name} and {} differ", lists[0].0);
    }
}

fn rust_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
    found
}
