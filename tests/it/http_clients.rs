//! Clients in Python: the example of README, and one that tries whatever the contract allows and forbids.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::support::{
    darkroom::{TestDarkroom, picture},
    service::{Service, client},
};

/// A Python with what the file asks for; `None` when pip cannot fetch it.
async fn python(name: &str, requirements: &str) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/venv");
    let output =
        Command::new(script).args([name, requirements]).stderr(Stdio::inherit()).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

fn uvicorn(python: &str, service: &Service, port: u16) -> Child {
    Command::new(python)
        .args(["-m", "uvicorn", "main:app", "--log-level", "warning", "--port", &port.to_string()])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fastapi"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("DARKROOM_URL", service.url(""))
        .env("DARKROOM_TOKEN", crate::support::service::TOKEN)
        .kill_on_drop(true)
        .spawn()
        .expect("python starts")
}

/// The example, and where it answers, within a minute. A port that somebody took meanwhile ends it: another one is tried.
async fn started(python: &str, service: &Service) -> (Child, String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "uvicorn did not start");
        let port = free_port();
        let mut server = uvicorn(python, service, port);
        let url = format!("http://127.0.0.1:{port}");
        while server.try_wait().expect("it can be asked").is_none() {
            if client().get(format!("{url}/docs")).send().await.is_ok_and(|page| page.status() == 200) {
                return (server, url);
            }
            assert!(Instant::now() < deadline, "uvicorn did not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn the_example_for_fastapi_takes_a_photo_and_tells_where_it_is() {
    let Some(python) = python("fastapi", "examples/fastapi/requirements.txt").await else {
        return println!("left out: pip could not fetch fastapi");
    };
    let darkroom = TestDarkroom::start().await;
    let service = Service::with_token(&darkroom, &[]).await;
    let (_server, url) = started(&python, &service).await;

    let photo = |bytes| {
        let part = reqwest::multipart::Part::bytes(bytes).file_name("a.jpg").mime_str("image/jpeg");
        let form = reqwest::multipart::Form::new().part("photo", part.expect("a media type"));
        client()
            .post(format!("{url}/users/u7/photos"))
            .header("idempotency-key", "once")
            .multipart(form)
            .send()
    };
    let response = photo(picture("plain.jpg")).await.expect("an answer");
    let status = response.status().as_u16();
    let taken: Value = response.json().await.expect("JSON");
    let again: Value = photo(picture("plain.jpg")).await.expect("an answer").json().await.expect("JSON");
    let id = taken["job_id"].as_str().unwrap_or_else(|| panic!("no job: {taken}"));
    let receipt: Value = client()
        .get(format!("{url}/photos/{id}"))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let empty = photo(Vec::new()).await.expect("an answer");

    assert_eq!((status, &taken), (202, &again));
    assert_eq!((&receipt["status"], &receipt["object"]["key"]), (&"done".into(), &taken["key"]), "{receipt}");
    assert_eq!(empty.status().as_u16(), 422);
    let refused: Value = empty.json().await.expect("JSON");
    assert_eq!(refused["detail"]["code"], "source_empty", "{refused}");
}

#[tokio::test]
async fn whatever_the_contract_allows_or_forbids_is_answered_without_a_server_error() {
    let Some(python) = python("schemathesis", "tests/python/requirements.txt").await else {
        return println!("left out: pip could not fetch schemathesis");
    };
    let darkroom = TestDarkroom::start().await;
    // Nothing that is made up here is fetched or decoded.
    let mut service = Service::with_token(&darkroom, &[("DARKROOM_QUEUES", "delete")]).await;
    service.when("/readyz", 200).await;
    let st = python.replace("/bin/python", "/bin/st");
    let checks =
        "not_a_server_error,content_type_conformance,status_code_conformance,response_schema_conformance";
    let folder = tempfile::tempdir().expect("a folder can be made");

    let output = Command::new(st)
        .arg("run")
        .arg(service.url("/openapi.json"))
        .args(["-H", &format!("Authorization: Bearer {}", crate::support::service::TOKEN)])
        .args(["--checks", checks, "--phases", "coverage,fuzzing", "--max-examples", "15"])
        .args(["--seed", "1", "--workers", "2", "--no-color", "--suppress-health-check", "all"])
        .current_dir(folder.path())
        .output()
        .await
        .expect("schemathesis starts");

    let told = String::from_utf8_lossy(&output.stdout);
    let cases = told.lines().find_map(|line| line.trim().split_once(" generated, "));
    let (generated, passed) = cases.unwrap_or_else(|| panic!("no cases in\n{told}"));
    // Its own errors, which some versions of Python bring about, are no answers of ours.
    assert_eq!(format!("{generated} passed"), passed, "{told}");
    assert!(generated.parse::<u32>().expect("a number") > 500 && !told.contains("Network Error"), "{told}");
    assert_eq!(service.get("/livez").send().await.expect("an answer").status().as_u16(), 200);
    assert!(service.worker.is_running());
}
