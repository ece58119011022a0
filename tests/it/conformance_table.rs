//! The table in docs/storage.md: a row for each question, a column for each server.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::conformance::Seen;

const BEGIN: &str = "<!-- written by tests/it/conformance.rs -->\n";
const END: &str = "<!-- end -->\n";

/// Servers change their columns one after the other.
static DOCUMENT: Mutex<()> = Mutex::new(());

/// Compares the column of a server with what was seen, or writes it anew.
pub fn compare(server: &str, seen: &[Seen]) {
    let _alone = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/storage.md");
    let document = fs::read_to_string(&path).expect("it can be read");
    let (before, rest) = document.split_once(BEGIN).expect("the table is marked");
    let (table, after) = rest.split_once(END).expect("the table is marked");

    let mended = mended(table, server, seen);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let document = [before, BEGIN, &mended, END, after].concat();
        fs::write(&path, document).expect("it can be written");
    } else {
        let differing = mended.lines().zip(table.lines().chain(std::iter::repeat("")));
        let differing: Vec<_> = differing.filter(|(seen, told)| seen != told).map(|(seen, _)| seen).collect();
        assert!(
            mended == table,
            "{server} does otherwise than docs/storage.md says (UPDATE_GOLDEN=1 writes it anew):\n{}",
            differing.join("\n")
        );
    }
}

/// The table with this column as it was seen, and the questions and what AWS does as they are asked now.
fn mended(table: &str, server: &str, seen: &[Seen]) -> String {
    let old: Vec<Vec<&str>> = table.lines().map(cells).collect();
    let names = old.first().expect("the table has a head");
    let column = names.iter().position(|name| *name == server);
    let column = column.unwrap_or_else(|| panic!("the table has no column {server}: {names:?}"));

    let mut lines = vec![line(names), line(&vec!["---"; names.len()])];
    for row in seen {
        let known = old.iter().skip(2).find(|cells| cells[0] == row.what);
        let mut new: Vec<String> = match known {
            Some(known) => known.iter().map(|&cell| cell.to_owned()).collect(),
            None => vec!["?".to_owned(); names.len()],
        };
        new[0] = row.what.to_owned();
        new[1] = row.aws.to_owned();
        new[column] = if row.here == row.aws { row.here.clone() } else { format!("**{}**", row.here) };
        lines.push(line(&new.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    lines.join("\n") + "\n"
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn line(cells: &[&str]) -> String {
    if cells[0] == "---" { format!("|{}|", cells.join("|")) } else { format!("| {} |", cells.join(" | ")) }
}
