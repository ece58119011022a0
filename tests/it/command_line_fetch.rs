//! `darkroom enqueue ingest`: looking at an address, and a merchant's list.

use darkroom_jobs::Kind;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    command::{Call as _, bare},
    darkroom::{TestDarkroom, picture},
    dns::TestDns,
    fetching::{HERE, environment, ports},
    web::{Web, answer},
};

async fn shop() -> (Web, TestDns) {
    let web = Web::start(|visit| match &*visit.path {
        "/photo.png" => answer("200 OK", &[("content-type", "image/png")], &picture("plain.jpg")),
        "/gone" => answer("410 Gone", &[], b""),
        "/text" => answer("200 OK", &[], b"plain text"),
        _ => answer("200 OK", &[], &picture("plain.jpg")),
    })
    .await;
    let dns = TestDns::start().await;
    dns.name("shop.com", &[HERE]);
    (web, dns)
}

fn check(web: &Web, dns: &TestDns, url: &str, more: &[&str]) -> Command {
    let mut command = bare(&[&["enqueue", "ingest", "--check", url], more].concat());
    let (ports, dns) = (ports(web), dns.address.to_string());
    command.envs(environment(&ports, &dns));
    command
}

#[tokio::test]
async fn an_address_is_looked_at_without_a_queue_and_without_a_bucket() {
    let (web, dns) = shop().await;

    let text = check(&web, &dns, &web.url("shop.com", "/photo.png"), &[]).ended().await;
    let json = check(&web, &dns, &web.url("shop.com", "/photo.png"), &["--json"]).ended().await;

    assert_eq!((text.code, json.code), (Some(0), Some(0)), "{}{}", text.stderr, json.stderr);
    assert!(
        text.stdout.starts_with("image/jpeg, ") && text.stdout.contains("it would be kept"),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("type_mismatch: declared image/png, detected image/jpeg"),
        "{}",
        text.stdout
    );
    let line: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(
        (&line["source"]["type"], &line["source"]["declared_type"]),
        (&"url".into(), &"image/png".into())
    );
    assert_eq!(line["object"]["content_type"], "image/jpeg");
    assert_eq!(line["warnings"][0]["code"], "type_mismatch");
}

#[tokio::test]
async fn an_address_that_gives_nothing_is_told_with_code_and_hint() {
    let (web, dns) = shop().await;

    for (url, code) in [
        ("http://localhost/a.jpg".to_owned(), "host_blocked"),
        ("http://shop.com:22/a.jpg".to_owned(), "url_port"),
        (web.url("shop.com", "/gone"), "http_410"),
        (web.url("shop.com", "/text"), "not_an_image"),
    ] {
        let text = check(&web, &dns, &url, &[]).ended().await;
        let json = check(&web, &dns, &url, &["--json"]).ended().await;

        assert_eq!((text.code, json.code), (Some(1), Some(1)), "{url}");
        assert!(text.stderr.starts_with(&format!("{code}: ")), "{}", text.stderr);
        let line: Value =
            serde_json::from_str(&json.stderr).unwrap_or_else(|error| panic!("{error}: {}", json.stderr));
        assert_eq!(line["code"], code);
        assert!(line["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    }
    let wrong = bare(&["enqueue", "delete", "--check", "http://shop.com/"]).ended().await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
}

/// The rows of a result, without their heading.
fn rows(path: &std::path::Path) -> Vec<Vec<String>> {
    let mut table = csv::Reader::from_path(path).expect("the result is there");
    let heading: Vec<_> = table.headers().expect("it has a heading").iter().map(str::to_owned).collect();
    assert_eq!(heading, ["row", "status", "job_id", "key", "code", "hint"]);
    table.records().map(|row| row.expect("it is a row").iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn each_row_of_a_list_is_a_job_and_a_row_of_the_result_and_repeating_it_changes_nothing() {
    let darkroom = TestDarkroom::start().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let list = folder.path().join("list.csv");
    // As a spreadsheet of half of Europe writes it.
    let mut text = b"\xef\xbb\xbfProduct_ID;url;image_id\r\np1;http://shop.com/a.jpg;\r\n../x;http://shop.com/b.jpg;\r\np2;;\r\np3;http://shop.com/c.jpg;3E1F0C9A-58d4-4b7a-9f62-c0a7b1d2e3f4\r\np1;http://shop.com/a.jpg;\r\n".to_vec();
    text.extend_from_slice(b"p4;http://shop.com/\xff.jpg;\r\n");
    std::fs::write(&list, text).expect("the folder is there");
    let list = list.to_str().expect("it is UTF-8");

    let first = darkroom.command(&["enqueue", "ingest", "--csv", list]).ended().await;
    let again = darkroom.command(&["enqueue", "ingest", "--csv", list]).ended().await;
    let second = folder.path().join("second.csv");
    let named =
        ["enqueue", "ingest", "--csv", list, "--json", "--result", second.to_str().expect("it is UTF-8")];
    let third = darkroom.command(&named).ended().await;

    assert_eq!(first.code, Some(1), "{}", first.stderr);
    assert!(first.stdout.starts_with("6 rows, 3 queued, 3 not; see "), "{}", first.stdout);
    let found = rows(&folder.path().join("list.csv.result.csv"));
    let words: Vec<_> = found.iter().map(|row| [&*row[0], &*row[1], &*row[4]]).collect();
    let mut sorted = words.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ["2", "queued", ""],
            ["3", "refused", "id_invalid"],
            ["4", "refused", "url_malformed"],
            ["5", "queued", ""],
            ["6", "queued", ""],
            ["7", "refused", "job_malformed"]
        ]
    );
    let key = |row: &str| found.iter().find(|found| found[0] == row).expect("it is there")[3].clone();
    assert_eq!(key("5"), "products/p3/3e1f0c9a-58d4-4b7a-9f62-c0a7b1d2e3f4.jpg");
    assert_eq!(key("2"), key("6"));
    assert_eq!((again.code, third.code), (Some(2), Some(1)), "{}", again.stderr);
    assert!(again.stderr.contains("is there already; name another with --result"), "{}", again.stderr);
    assert!(rows(&second).iter().any(|row| row[3] == key("2")));
    let waiting = darkroom.inspector().stats(Kind::Ingest).await.expect("redis answers");
    assert_eq!(waiting.counts.active + waiting.counts.scheduled, 6);
}

#[tokio::test]
async fn with_a_key_a_list_is_run_again_as_it_was_and_a_row_that_was_changed_meanwhile_is_a_conflict() {
    let darkroom = TestDarkroom::start().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("list.csv");
    let write = |second: &str| {
        let text = format!("product_id,url\np1,http://shop.com/a.jpg\np1,{second}\n");
        std::fs::write(&path, text).expect("the folder is there");
    };
    let list = path.to_str().expect("it is UTF-8");
    let call = ["enqueue", "ingest", "--csv", list, "--idempotency-key", &"k".repeat(240)];
    let result = || rows(&folder.path().join("list.csv.result.csv"));

    write("http://shop.com/b.jpg");
    let first = (darkroom.command(&call).ended().await.code, result());
    let again = (darkroom.command(&call).ended().await.code, result());
    write("http://shop.com/c.jpg");
    let changed = (darkroom.command(&call).ended().await.code, result());

    assert_eq!((first.0, first.1.len()), (Some(0), 2));
    assert_eq!(again, first, "the result of the first run is replaced by the same");
    assert_eq!((changed.0, &changed.1[0]), (Some(1), &first.1[0]));
    assert_eq!(
        [&*changed.1[1][0], &*changed.1[1][1], &*changed.1[1][4]],
        ["3", "refused", "idempotency_conflict"]
    );
    let waiting = darkroom.inspector().stats(Kind::Ingest).await.expect("redis answers");
    assert_eq!(waiting.counts.active + waiting.counts.scheduled, 2);
}

#[tokio::test]
async fn a_file_that_is_no_result_is_not_written_over_and_a_key_without_room_for_a_row_is_a_wrong_call() {
    let darkroom = TestDarkroom::start().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let list = folder.path().join("list.csv");
    std::fs::write(&list, "product_id,url\np1,http://shop.com/a.jpg\n").expect("the folder is there");
    let list = list.to_str().expect("it is UTF-8");
    let call = async |result: &str, key: &str| {
        let call = ["enqueue", "ingest", "--csv", list, "--result", result, "--idempotency-key", key];
        darkroom.command(&call).ended().await
    };

    let itself = call(list, "k").await;
    let nowhere = call("/nowhere/result.csv", "k").await;
    let (long, empty) = (call("/dev/null", &"k".repeat(241)).await, call("/dev/null", "").await);
    let a_folder = call(folder.path().to_str().expect("it is UTF-8"), "k").await;

    for (ended, told) in [
        (&itself, "it is no result of a list: name another with --result"),
        (&nowhere, "see --result"),
        (&a_folder, "see --result"),
        (&long, "has 1 to 240 bytes, got 241"),
        (&empty, "has 1 to 240 bytes, got 0"),
    ] {
        assert!(ended.code == Some(2) && ended.stderr.contains(told), "{ended:?}");
    }
    assert!(std::fs::read_to_string(list).expect("it is there").starts_with("product_id"));
    let waiting = darkroom.inspector().stats(Kind::Ingest).await.expect("redis answers");
    assert_eq!(waiting.counts.active + waiting.counts.scheduled, 0);
}

#[tokio::test]
async fn with_wait_the_result_has_keys_and_codes_of_what_became_of_the_rows() {
    let (web, dns) = shop().await;
    let darkroom = TestDarkroom::start().await;
    let (ports, servers) = (ports(&web), dns.address.to_string());
    let _worker = darkroom.worker(&environment(&ports, &servers));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let list = folder.path().join("list.csv");
    let text = format!("url,product_id\n{},p1\nhttp://10.0.0.1/,p2\n", web.url("shop.com", "/a.jpg"));
    std::fs::write(&list, text).expect("the folder is there");

    let call = ["enqueue", "ingest", "--csv", list.to_str().expect("it is UTF-8"), "--wait", "--json"];
    let ended = darkroom.command(&call).ended().await;

    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let summary: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!((&summary["rows"], &summary["done"], &summary["other"]), (&2.into(), &1.into(), &1.into()));
    let rows = rows(&folder.path().join("list.csv.result.csv"));
    assert_eq!((&*rows[0][1], rows[0][3].starts_with("products/p1/"), &*rows[0][4]), ("done", true, ""));
    assert_eq!((&*rows[1][1], &*rows[1][3], &*rows[1][4]), ("failed", "", "address_blocked"));
    assert!(rows[1][5].starts_with("This host is not fetched from."), "{:?}", rows[1]);
}

#[tokio::test]
async fn a_list_without_its_columns_is_a_wrong_call_and_nothing_is_enqueued() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let list = folder.path().join("list.csv");
    std::fs::write(&list, "product,link\np1,http://shop.com/a.jpg\n").expect("the folder is there");
    let list = list.to_str().expect("it is UTF-8");

    let columns = bare(&["enqueue", "ingest", "--csv", list]).ended().await;
    let kind = bare(&["enqueue", "upload", "--csv", list]).ended().await;
    let missing = bare(&["enqueue", "ingest", "--csv", "/nowhere.csv"]).ended().await;

    assert_eq!((columns.code, kind.code, missing.code), (Some(2), Some(2), Some(2)), "{}", columns.stderr);
    assert!(columns.stderr.contains("the list has no column product_id"), "{}", columns.stderr);
    assert!(!std::path::Path::new(&format!("{list}.result.csv")).exists());
}
