//! A storage on a real S3 server, one per test.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Parser;
use darkroom::{config, dev::s3::EmbeddedS3, storage::Storage};
use darkroom_jobs::{ImageId, ObjectKey};
use tempfile::TempDir;

pub const BUCKET: &str = "pictures";
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server, and a storage that talks to it.
pub struct TestBucket {
    pub storage: Storage,
    pub server: EmbeddedS3,
    pub folder: TempDir,
}

impl TestBucket {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more arguments, as on the command line.
    pub async fn with(more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let server = EmbeddedS3::start(folder.path(), ANY_PORT).await.expect("a port is free");
        for bucket in [BUCKET, "originals"] {
            server.create_bucket(bucket).await.expect("a folder can be made");
        }
        let storage = storage(&settings(&server.endpoint_url, more)).await;
        Self { storage, server, folder }
    }
}

pub async fn storage(settings: &config::S3) -> Storage {
    Storage::new(settings).await.expect("the settings are right")
}

/// Settings for the embedded server's credentials, path style and short time-outs.
pub fn settings(endpoint_url: &str, more: &[&str]) -> config::S3 {
    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        s3: config::S3,
    }
    let arguments = ["test", "--s3-endpoint-url", endpoint_url, "--s3-bucket", BUCKET];
    let credentials = ["--s3-access-key-id=darkroom", "--s3-secret-access-key=darkroom-secret"];
    let manner = ["--s3-force-path-style=true"];
    Arguments::parse_from([&arguments[..], &credentials, &manner, more].concat()).s3
}

/// A key of its own.
pub fn fresh_key() -> ObjectKey {
    ObjectKey::user_photo(&"42".parse().expect("it is an id"), &ImageId::random())
}
