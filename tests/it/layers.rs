//! Holds the map of `ARCHITECTURE.md`: which room may name which, read from the source itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A room, and the rooms that it may name. Every arrow points to an earlier row, so there is no cycle.
const LAYERS: [(&str, &[&str]); 15] = [
    ("digest", &[]),
    ("imaging", &[]),
    ("config", &["imaging"]),
    ("telemetry", &["config"]),
    ("stops", &["config"]),
    ("storage", &["config", "digest", "stops"]),
    ("queue", &["config", "stops"]),
    ("sandbox", &["config", "digest", "imaging"]),
    ("sources", &["config", "digest", "storage", "queue"]),
    ("handlers", &["config", "imaging", "queue", "sandbox", "sources", "stops", "storage"]),
    ("worker", EARLIER),
    ("http", &["config", "digest", "queue", "storage", "telemetry"]),
    ("dev", EARLIER),
    ("cli", EARLIER),
    ("main", EARLIER),
];
const EARLIER: &[&str] = &["*"];

/// The files that may name apalis.
const NAME_APALIS: [&str; 4] =
    ["jobs/src/producer.rs", "src/worker/mod.rs", "src/worker/backend.rs", "src/worker/schedule.rs"];

const CRATES: [&str; 4] = ["apalis::", "apalis_core::", "apalis_redis::", "apalis_cron::"];

#[test]
fn every_room_names_only_the_rooms_below_it() {
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().filter(|file| !is_test(file)) {
        let room = room_of(&file);
        let may = allowed(&room);
        for named in rooms_named(&fs::read_to_string(&file).unwrap()) {
            if named != room && !may.contains(&named) {
                wrong.push(format!("{} names {named}", file.display()));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn apalis_is_named_in_its_few_files() {
    let named: Vec<_> = rust_files("src")
        .into_iter()
        .chain(rust_files("jobs/src"))
        .filter(|file| names_apalis(file))
        .collect();

    let elsewhere: Vec<_> =
        named.iter().filter(|file| !NAME_APALIS.iter().any(|known| file.ends_with(known))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn unsafe_code_is_in_few_files() {
    // System calls, two decoders behind the wall, the encoder of a fixture, and faults that are compiled for tests alone. `jpeg/` denies it
    // but for the file that asks the processor.
    let known = [
        "src/sandbox/sys.rs",
        "src/sandbox/faults.rs",
        "src/sandbox/tries.rs",
        "src/imaging/decode/heif/av1.rs",
        "src/imaging/decode/vp8.rs",
        "src/dev/pictures/vp8.rs",
        "jpeg/src/arch.rs",
    ];
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word))
    };
    let rooms = ["src", "jobs/src", "jpeg/src", "resize/src"].into_iter().flat_map(rust_files);
    let elsewhere: Vec<_> = rooms
        .filter(|file| !known.iter().any(|known| file.ends_with(known)))
        .filter(|file| fs::read_to_string(file).unwrap().lines().any(is_unsafe))
        .collect();

    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn the_lane_is_called_by_imaging_alone() {
    let calls = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("darkroom_jpeg");
    let rooms: BTreeSet<_> = rust_files("src").into_iter().filter(calls).map(|file| room_of(&file)).collect();

    // What fuzzes it is in `dev`.
    assert_eq!(rooms, ["dev", "imaging"].map(str::to_owned).into());
}

#[test]
fn no_test_file_of_this_suite_is_forgotten() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();

    for file in rust_files("tests/it").into_iter().filter(|file| !file.ends_with("main.rs")) {
        let module = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(main.contains(&format!("mod {module};")), "tests/it/main.rs does not list {module}");
    }
}

/// Unit tests in a file or a folder of their own may use what `dev` renders.
fn is_test(file: &Path) -> bool {
    let inside = file.strip_prefix(root()).expect("it is ours");
    let in_folder = inside.components().any(|part| part.as_os_str() == "tests");
    in_folder || file.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Below a folder of the repository.
pub fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn room_of(file: &Path) -> String {
    let first = file.strip_prefix(root().join("src")).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn allowed(room: &str) -> BTreeSet<String> {
    if room == "lib" {
        return LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    }
    let row = LAYERS.iter().position(|(name, _)| *name == room);
    let row = row.unwrap_or_else(|| panic!("{room} is no room of the map"));
    let names = |rows: &[(&str, &[&str])]| rows.iter().map(|(name, _)| (*name).to_owned()).collect();
    if LAYERS[row].1 == EARLIER {
        names(&LAYERS[..row])
    } else {
        LAYERS[row].1.iter().map(|name| (*name).to_owned()).collect()
    }
}

/// Rooms behind `crate::`, also in the braces of `use crate::{config, storage::Storage}`.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => named.extend(top_level(list).into_iter().map(|item| first_word(&item))),
            None => drop(named.insert(first_word(rest))),
        }
    }
    named.retain(|word| LAYERS.iter().any(|(name, _)| name == word));
    named
}

/// The items of a braced list, those inside inner braces left out.
fn top_level(list: &str) -> Vec<String> {
    let (mut depth, mut items) = (0_i32, vec![String::new()]);
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            other if depth == 0 => items.last_mut().unwrap().push(other),
            _ => {}
        }
    }
    items
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn names_apalis(file: &Path) -> bool {
    let source = fs::read_to_string(file).unwrap();
    source
        .lines()
        .any(|line| !line.trim_start().starts_with("//") && CRATES.iter().any(|name| line.contains(name)))
}

#[test]
fn the_reader_of_use_lines_sees_nested_and_inline_paths() {
    let source = "use crate::{\n  config::{self, check},\n  storage::Storage,\n};\n// crate::worker\nfn f() { crate::queue::x() }";

    let named: Vec<_> = rooms_named(source).into_iter().collect();

    assert_eq!(named, ["config", "queue", "storage"]);
}
