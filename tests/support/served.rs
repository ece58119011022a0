//! The same test on each server: the embedded one and Ceph.

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region},
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use darkroom::{config, storage::Storage};
use darkroom_jobs::JobId;

use super::{
    bucket::{BUCKET, TestBucket, settings, storage},
    ceph::Ceph,
};

/// Which server a test runs on.
#[derive(Clone, Copy)]
pub enum Server {
    Embedded,
    Ceph(&'static Ceph),
}

/// A bucket of a test's own, with one beside it for originals.
pub struct ServedBucket {
    pub storage: Storage,
    pub name: String,
    pub originals: String,
    pub endpoint_url: String,
    pub access_key: String,
    pub secret_key: String,
    /// For what the storage does not do itself.
    pub admin: Client,
    _embedded: Option<TestBucket>,
}

/// Makes of each function a test on each server.
#[macro_export]
macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::served::Server::Embedded).await; })*
        }
        mod ceph {
            $(#[tokio::test] async fn $name() {
                if let Some(ceph) = $crate::support::ceph::ceph(stringify!($name)) {
                    super::$name($crate::support::served::Server::Ceph(ceph)).await;
                }
            })*
        }
    };
}

impl ServedBucket {
    pub async fn on(server: Server) -> Self {
        match server {
            Server::Embedded => {
                let bucket = TestBucket::start().await;
                let (url, key, secret) =
                    (&bucket.server.endpoint_url, &bucket.server.access_key, &bucket.server.secret_key);
                Self {
                    storage: bucket.storage.clone(),
                    name: BUCKET.into(),
                    originals: "originals".into(),
                    endpoint_url: url.clone(),
                    access_key: key.clone(),
                    secret_key: secret.clone(),
                    admin: client(url, key, secret),
                    _embedded: Some(bucket),
                }
            }
            Server::Ceph(ceph) => Self::on_ceph(ceph).await,
        }
    }

    async fn on_ceph(ceph: &Ceph) -> Self {
        let admin = client(&ceph.endpoint_url, &ceph.access_key, &ceph.secret_key);
        let name = JobId::generate().to_string().to_ascii_lowercase();
        let originals = format!("{name}-originals");
        for bucket in [&name, &originals] {
            admin.create_bucket().bucket(bucket).send().await.expect("the gateway makes buckets");
        }
        let bucket = format!("--s3-bucket={name}");
        let (key, secret) = (ceph.access_key.clone(), ceph.secret_key.clone());
        let (key_arg, secret_arg) =
            (format!("--s3-access-key-id={key}"), format!("--s3-secret-access-key={secret}"));
        Self {
            storage: storage(&settings(&ceph.endpoint_url, &[&bucket, &key_arg, &secret_arg])).await,
            name,
            originals,
            endpoint_url: ceph.endpoint_url.clone(),
            access_key: key,
            secret_key: secret,
            admin,
            _embedded: None,
        }
    }

    /// Settings for this bucket, with more arguments as on the command line.
    pub fn settings(&self, more: &[&str]) -> config::S3 {
        let bucket = format!("--s3-bucket={}", self.name);
        let key = format!("--s3-access-key-id={}", self.access_key);
        let secret = format!("--s3-secret-access-key={}", self.secret_key);
        settings(&self.endpoint_url, &[&[&*bucket, &*key, &*secret], more].concat())
    }

    /// Another storage on the same bucket.
    pub async fn storage_with(&self, more: &[&str]) -> Storage {
        storage(&self.settings(more)).await
    }

    /// What a worker needs in its environment to use this bucket.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        vec![
            ("S3_ENDPOINT_URL", &self.endpoint_url),
            ("S3_BUCKET", &self.name),
            ("S3_ACCESS_KEY_ID", &self.access_key),
            ("S3_SECRET_ACCESS_KEY", &self.secret_key),
        ]
    }

    /// From now on versions are kept.
    pub async fn keep_versions(&self) {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let order = self.admin.put_bucket_versioning().bucket(&self.name).versioning_configuration(on);
        order.send().await.expect("the server keeps versions");
    }
}

/// A client with nothing of ours in it.
fn client(endpoint_url: &str, key: &str, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint_url)
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .credentials_provider(Credentials::new(key, secret, None, None, "test"));
    Client::from_conf(config.build())
}
