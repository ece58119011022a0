use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    settings: Everything,
}

fn settings(flags: &[&str]) -> Everything {
    let argv = ["darkroom", "--s3-bucket", "media"].iter().chain(flags);
    Line::try_parse_from(argv).unwrap().settings
}

fn variables_of(flags: &[&str]) -> Vec<String> {
    settings(flags).problems().into_iter().map(|problem| problem.variable).collect()
}

#[test]
fn the_defaults_agree_with_each_other() {
    assert_eq!(settings(&[]).problems(), []);
}

#[test]
fn settings_that_contradict_each_other_are_all_told_at_once() {
    let told = variables_of(&[
        "--lease=6000",
        "--retry-max=1000",
        "--tombstone=1000",
        "--min-decoded-fraction=1.5",
        "--s3-access-key-id=id",
        "--redis-url=localhost:6379",
    ]);

    assert_eq!(
        told,
        [
            "DARKROOM_REDIS_URL",
            "S3_SECRET_ACCESS_KEY",
            "DARKROOM_LEASE_MS",
            "DARKROOM_RETRY_MAX_MS",
            "DARKROOM_TOMBSTONE_MS",
            "DARKROOM_MIN_DECODED_FRACTION"
        ]
    );
}

#[test]
fn sweeps_of_an_erasure_follow_each_other_and_a_turn_is_shorter_than_the_job_may_take() {
    assert_eq!(variables_of(&["--erase-sweeps=0,0", "--erase-turn=60000"]), [""; 0]);
    assert_eq!(variables_of(&["--erase-sweeps=2000,1000"]), ["DARKROOM_ERASE_SWEEPS_MS"]);
    assert_eq!(variables_of(&["--erase-turn=60001"]), ["DARKROOM_ERASE_TURN_MS"]);
    assert_eq!(variables_of(&["--erase-turn=60001", "--timeout-delete=120002"]), [""; 0]);
}

#[test]
fn a_delivery_has_a_second_at_least() {
    for kind in ["upload", "ingest"] {
        let variable = format!("DARKROOM_TIMEOUT_{}_MS", kind.to_uppercase());
        assert_eq!(variables_of(&[&format!("--timeout-{kind}=1000")]), [""; 0]);
        assert_eq!(variables_of(&[&format!("--timeout-{kind}=999")]), [&*variable]);
    }
}

#[test]
fn a_lease_is_an_hour_at_most() {
    assert_eq!(variables_of(&["--lease=3600000"]), [""; 0]);
    assert_eq!(variables_of(&["--lease=3600001"]), ["DARKROOM_LEASE_MS"]);
}

#[test]
fn a_shutdown_leaves_time_to_hand_back_before_supervisors_kill() {
    assert_eq!(variables_of(&["--shutdown=20000"]), [""; 0]);
    assert_eq!(variables_of(&["--shutdown=20001"]), ["DARKROOM_SHUTDOWN_MS"]);
}

#[test]
fn memory_for_pictures_is_an_amount_that_a_picture_fits_in_and_a_machine_has() {
    for good in ["1%", "100%", "64MiB", "67108864", "1024GiB"] {
        assert_eq!(variables_of(&[&format!("--image-memory={good}")]), [""; 0], "{good}");
    }
    for bad in ["0", "60", "512", "67108863", "1025GiB"] {
        assert_eq!(variables_of(&[&format!("--image-memory={bad}")]), ["DARKROOM_IMAGE_MEMORY"], "{bad}");
    }
}

#[test]
fn a_bucket_has_a_name_that_every_server_takes() {
    for good in ["media", "shop-media.eu-1", "0media", "arn:aws:s3:eu-west-1:123456789012:accesspoint/media"]
    {
        assert!(is_bucket(good), "{good}");
    }
    let long = "m".repeat(64);
    for bad in
        ["", "me", &long, "Media", "my_media", "s3://media", "media/", "-media", "media.", "a..b", "10.0.0.1"]
    {
        assert!(!is_bucket(bad), "{bad}");
    }
    assert_eq!(variables_of(&["--s3-staging-bucket=My Originals"]), ["S3_STAGING_BUCKET"]);
}

#[test]
fn a_prefix_ends_in_a_slash_and_leads_nowhere_else() {
    for good in ["", "media/", "shop/eu-1/"] {
        assert!(is_prefix(good), "{good}");
    }
    for bad in ["media", "/media/", "a//b/", "../", "a b/"] {
        assert!(!is_prefix(bad), "{bad}");
    }
}

#[test]
fn an_address_has_a_scheme_and_a_host() {
    for good in ["https://fsn1.your-objectstorage.com", "http://127.0.0.1:3900/base"] {
        assert!(is_address(Some(good)), "{good}");
    }
    for bad in ["fsn1.your-objectstorage.com", "https://", "https://a?x=1", "https://user@host", "ftp://host"]
    {
        assert!(!is_address(Some(bad)), "{bad}");
    }
}

#[test]
fn a_secret_is_never_told_with_what_is_wrong_about_it() {
    let problems = Problems(settings(&["--redis-url=hush://:secret@host"]).problems());

    assert!(!problems.to_string().contains("secret"), "{problems}");
}

#[test]
fn every_variable_is_named_once_and_secrets_have_a_twin() {
    let known = variables();

    assert!(known.contains("DARKROOM_LEASE_MS"));
    assert!(known.contains("S3_SECRET_ACCESS_KEY_FILE"));
    assert!(known.iter().all(|name| ["DARKROOM_", "S3_", "OTEL_"].iter().any(|ours| name.starts_with(ours))));
}
