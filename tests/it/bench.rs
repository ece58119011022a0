//! `darkroom bench queue`: figures that others rely on, from the real way of a job.

use std::{collections::BTreeMap, process::Command};

use darkroom::config;

#[test]
fn the_bench_of_the_queue_prints_exactly_its_figures() {
    let server = std::env::var_os("DARKROOM_TEST_REDIS_SERVER").or(std::env::var_os("DARKROOM_REDIS_SERVER"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    bench.args(["bench", "queue", "--jobs", "300", "--payload-bytes", "700", "--concurrency", "8"]);
    let plot = tempfile::NamedTempFile::new().unwrap();
    bench.args(["--backlog", "500", "--json", "--plot"]).arg(plot.path()).env_remove("DARKROOM_REDIS_URL");
    bench.envs(server.map(|server| ("DARKROOM_REDIS_SERVER", server)));

    let output = bench.output().unwrap();

    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    let figures: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = figures.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "backlog",
            "bytes_per_waiting_job",
            "commands_per_job",
            "drain_per_s",
            "enqueue_per_s",
            "redis_cpu_us_per_job",
            "redis_enqueue_cpu_us_per_job",
            "script_p999_us",
            "worker_cpu_us_per_job"
        ]
    );
    assert!(figures.values().all(|figure| *figure > 0.0), "{figures:?}");
    assert!(figures["bytes_per_waiting_job"] >= 700.0, "{figures:?}");
    assert!(!log.contains("job settled"), "{log}");
    assert!(std::fs::read_to_string(plot.path()).unwrap().starts_with("<svg"));
}

#[test]
fn the_bench_of_an_idle_worker_finds_it_cheap_and_awake() {
    let server = std::env::var_os("DARKROOM_TEST_REDIS_SERVER").or(std::env::var_os("DARKROOM_REDIS_SERVER"));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_darkroom"));
    bench.args(["bench", "queue", "--idle", "--json"]).env_remove("DARKROOM_REDIS_URL");
    bench.envs(server.map(|server| ("DARKROOM_REDIS_SERVER", server)));

    let output = bench.output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures.keys().collect::<Vec<_>>(), ["cpu_percent", "script_calls_per_s", "start_p95_ms"]);
    assert!((0.5..=2.0).contains(&figures["script_calls_per_s"]), "{figures:?}");
    // 50 on a machine that does nothing else; a worker that waits for its tick needs a second.
    assert!(figures["start_p95_ms"] < 500.0, "{figures:?}");
}

#[tokio::test]
async fn the_bench_leaves_nothing_in_a_redis_that_is_not_its_own() {
    let darkroom = crate::support::darkroom::TestDarkroom::start().await;
    let mut redis = darkroom.redis.clone();
    let load = darkroom::dev::bench::Load { jobs: 50, payload_bytes: 200, concurrency: 4, backlog: 1_100 };
    let url = Some(config::Secret::from(darkroom.services.redis.url()));

    let settings = config::bench::Bench { redis_url: url, redis_server: None };
    let figures = darkroom::dev::bench::run(&load, &settings).await.expect("it measures");

    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.expect("redis answers");
    assert!(figures.drain_per_s > 0.0);
    assert!(keys.is_empty(), "{keys:?}");
}
