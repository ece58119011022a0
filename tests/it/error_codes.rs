//! `docs/errors.md` is written from the table of codes.

use std::{fmt::Write as _, fs};

use darkroom_jobs::{Blame, ErrorCode};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");

const HEAD: &str = "# Error codes

Written from `jobs/src/error_code.rs` by a test (`UPDATE_GOLDEN=1`). Codes are stable: new ones come, none goes or changes its meaning.

A receipt's `error` has the `code`, its `class` (`permanent`, `transient`, `conditional`), whom to `blame`, and the sentence below as `hint`, for
people. Branch on `class`, show `hint`, never parse `message`. `next_attempt_at` of the receipt says when it is tried again, and `final` that it is not.
`detail` has facts that depend on the code, like `{\"http_status\":403}`; it says nothing of networks.

Retries wait 5 s, 10 s, 20 s … up to 4 h. A server's `Retry-After` is waited for instead, and for a day such waiting counts no attempt; nor does
waiting for a host's turn (`docs/fetch.md`): such a job is `queued`, with `next_attempt_at`, and has no error.
";

fn document() -> String {
    let mut text = HEAD.to_owned();
    for (blame, title) in [
        (Blame::Request, "`request`: whoever enqueued the job"),
        (Blame::Source, "`source`: the server that has the original"),
        (Blame::Image, "`image`: the file"),
        (Blame::Platform, "`platform`: darkroom, its Redis or its bucket"),
    ] {
        write!(text, "\n## {title}\n\n| code | tried | hint |\n|---|---|---|\n")
            .expect("a String takes any text");
        for code in ErrorCode::ALL.iter().filter(|code| code.blame() == blame) {
            writeln!(text, "| `{code}` | {} | {} |", tried(*code), code.hint())
                .expect("a String takes any text");
        }
    }
    text
}

fn tried(code: ErrorCode) -> String {
    let times = |tries: Option<u32>| match tries {
        Some(1) => "once".to_owned(),
        Some(2) => "twice".to_owned(),
        Some(tries) => format!("{tries} times"),
        None => "as often as the job may".to_owned(),
    };
    let (tries, from_url) = (code.tries(), code.tries_from_url());
    if tries == from_url { times(tries) } else { format!("{}; from a URL {}", times(tries), times(from_url)) }
}

#[test]
fn the_document_has_every_code_with_its_sentence() {
    let now = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PATH, &now).expect("the folder is there");
    }

    let kept = fs::read_to_string(PATH).expect("the document is there");

    assert_eq!(kept, now, "docs/errors.md is another: UPDATE_GOLDEN=1 cargo test");
    assert!(ErrorCode::ALL.iter().all(|code| kept.contains(&format!("| `{code}` |"))));
}

#[test]
fn every_sentence_says_what_can_be_done_and_promises_no_try_that_may_not_come() {
    let verbs = [
        "Add", "Ask", "Check", "Choose", "Compare", "Copy", "Encode", "Enqueue", "Export", "Finish", "Give",
        "Stage", "Tell", "Try", "Upgrade", "Upload", "Use",
    ];

    for code in ErrorCode::ALL {
        let hint = code.hint();
        let (_, then) = hint.split_once(". ").unwrap_or_else(|| panic!("{code}: {hint:?} is one sentence"));
        let verb = then.split(' ').next().unwrap_or_default();
        assert!(verbs.contains(&verb), "{code}: {then:?} does not begin with what can be done");
        let promises = hint.contains("tried again by itself");
        let retried = code.tries() != Some(1);
        assert!(!promises || (retried && hint.contains("Unless the job is final")), "{code}: {hint:?}");
    }
}
