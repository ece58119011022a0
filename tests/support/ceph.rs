//! A real Ceph RGW, one for a test run: started when a test first asks, ended with the process however that ends.
//!
//! On Debian 12 alone, whose packages it is made of; elsewhere a test says that it was left out, and why.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// What `scripts/ceph-rgw` exits with when apt has no Ceph, or cannot be reached.
const ABSENT: i32 = 3;

/// A running gateway.
pub struct Ceph {
    pub endpoint_url: String,
    pub access_key: String,
    pub secret_key: String,
    /// Stops the gateway when its standard input, which is ours, closes.
    _guardian: Child,
}

/// The gateway; `None`, after a line that says why, where there is none.
pub fn ceph(test: &str) -> Option<&'static Ceph> {
    static CEPH: OnceLock<Result<Ceph, String>> = OnceLock::new();
    match CEPH.get_or_init(start) {
        Ok(ceph) => Some(ceph),
        Err(reason) => {
            // Not `eprintln`, which is shown for failed tests alone.
            let line = format!("{test} on Ceph was left out: {reason}\n");
            std::io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
            None
        }
    }
}

fn start() -> Result<Ceph, String> {
    if let Some(reason) = reason_to_leave_out() {
        return Err(reason);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ceph-{}", std::process::id()));
    let mut guardian = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ceph-rgw"))
        .args(["serve".as_ref(), folder.as_os_str()])
        .env("CEPH_RGW_CACHE", cache())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0) // a Ctrl-C is for the tests: the guardian ends after them, and tidies up
        .spawn()
        .expect("scripts/ceph-rgw is there");

    let exports = BufReader::new(guardian.stdout.take().expect("it is piped"));
    let mut settings = Vec::new();
    for line in exports.lines() {
        let line = line.expect("it is text");
        let (name, value) = line.trim_start_matches("export ").split_once('=').expect("it is an export");
        settings.push((name.to_owned(), value.to_owned()));
        if name == "S3_FORCE_PATH_STYLE" {
            let value =
                |name: &str| settings.iter().find(|(known, _)| known == name).expect("it is told").1.clone();
            return Ok(Ceph {
                endpoint_url: value("S3_ENDPOINT_URL"),
                access_key: value("S3_ACCESS_KEY_ID"),
                secret_key: value("S3_SECRET_ACCESS_KEY"),
                _guardian: guardian,
            });
        }
    }
    let status = guardian.wait().expect("it was started");
    assert_eq!(status.code(), Some(ABSENT), "scripts/ceph-rgw did not start a gateway");
    Err("apt has no Ceph here, or could not be reached".into())
}

fn reason_to_leave_out() -> Option<String> {
    if std::env::var_os("DARKROOM_TEST_CEPH").is_some_and(|wanted| wanted == "off") {
        return Some("DARKROOM_TEST_CEPH is off".into());
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let says = |line: &str| release.lines().any(|known| known == line);
    let debian = says("ID=debian") && says("VERSION_ID=\"12\"");
    (!debian).then(|| "it is made of the packages of Debian 12, and this is another system".into())
}

/// Where the unpacked packages stay, beside what `scripts/setup` brings.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target folder").join("tools/ceph")
}
