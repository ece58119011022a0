//! The same test on each server: the embedded one and Ceph always, moto and Garage for `make conformance`.

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation},
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use darkroom::{config, storage::Storage};
use darkroom_jobs::JobId;

use super::{
    bucket::{BUCKET, TestBucket, settings, storage},
    ceph::Ceph,
    spawned::Spawned,
};

/// Which server a test runs on.
#[derive(Clone, Copy)]
pub enum Server {
    Embedded,
    Ceph(&'static Ceph),
    Moto(&'static Spawned),
    Garage(&'static Spawned),
}

/// What some servers do otherwise than AWS, where a test has to know it. docs/storage.md has all that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Takes every signature, of whatever time and region, and a presigned URL for ever.
    TakesAnySignature,
    /// Takes a signature for another region.
    TakesAnyRegion,
    /// Takes a signature whose time is 20 minutes off.
    TakesAnyTime,
    /// Takes no notice of a session token.
    TakesAnyToken,
    /// Says what is wrong about credentials in words of its own.
    NamesNoCredential,
    /// Refuses what is signed but too late with 400, not 403.
    RefusesLateWith400,
    /// Writes over what is there, whatever `If-None-Match` says.
    IgnoresConditions,
    /// Keeps lifecycle rules, and tells that there are none.
    TellsLifecycle,
}

impl Server {
    /// Whether that is how it is. A server that has changed fails the test that asks.
    pub fn has(self, oddity: Oddity) -> bool {
        use Oddity::*;
        match self {
            Self::Embedded => matches!(oddity, TakesAnyRegion | TakesAnyToken),
            Self::Ceph(_) => matches!(oddity, TakesAnyRegion | TakesAnyToken | TellsLifecycle),
            Self::Moto(_) => !matches!(oddity, NamesNoCredential | RefusesLateWith400 | IgnoresConditions),
            Self::Garage(_) => !matches!(oddity, TakesAnySignature | TakesAnyRegion),
        }
    }

    /// Its name and version, as the heads of tables have them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Ceph(_) => "Ceph 16.2.15",
            Self::Moto(_) => "moto 5.2.5",
            Self::Garage(_) => "Garage 2.5.0",
        }
    }
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
        mod moto {
            $(#[tokio::test] #[ignore = "make conformance"] async fn $name() {
                super::$name($crate::support::served::Server::Moto($crate::support::spawned::moto())).await;
            })*
        }
        mod garage {
            $(#[tokio::test] #[ignore = "make conformance"] async fn $name() {
                super::$name($crate::support::served::Server::Garage($crate::support::spawned::garage())).await;
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
            Server::Ceph(ceph) => {
                Self::made(&ceph.endpoint_url, &ceph.access_key, &ceph.secret_key, false).await
            }
            Server::Moto(spawned) | Server::Garage(spawned) => {
                Self::made(&spawned.endpoint_url, spawned.access_key, spawned.secret_key, false).await
            }
        }
    }

    /// With Object Lock, which a bucket has from the beginning or never.
    pub async fn locking_on(server: Server) -> Self {
        match server {
            Server::Ceph(ceph) => {
                Self::made(&ceph.endpoint_url, &ceph.access_key, &ceph.secret_key, true).await
            }
            _ => panic!("{} locks nothing", server.name()),
        }
    }

    /// Two fresh buckets of a server that many tests share.
    async fn made(endpoint_url: &str, access_key: &str, secret_key: &str, locks: bool) -> Self {
        let admin = client(endpoint_url, access_key, secret_key);
        let name = JobId::generate().to_string().to_ascii_lowercase();
        let originals = format!("{name}-originals");
        for bucket in [&name, &originals] {
            let order = admin.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(locks);
            order.send().await.expect("the server makes buckets");
        }
        let bucket = format!("--s3-bucket={name}");
        let key = format!("--s3-access-key-id={access_key}");
        let secret = format!("--s3-secret-access-key={secret_key}");
        Self {
            storage: storage(&settings(endpoint_url, &[&bucket, &key, &secret])).await,
            name,
            originals,
            endpoint_url: endpoint_url.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
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
pub fn client(endpoint_url: &str, key: &str, secret: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint_url)
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .credentials_provider(Credentials::new(key, secret, None, None, "test"));
    Client::from_conf(config.build())
}
