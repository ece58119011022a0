//! The objects of one bucket, and of the bucket where originals wait.
//!
//! Never decodes, never decides what a failure means for a job. Buckets and `S3_PREFIX` are known here alone: callers
//! give an `ObjectKey`.

pub mod delete;
pub mod error;
pub mod get;
pub mod list;
pub mod metrics;
pub mod presign;
pub mod probe;
pub mod put;

mod cause;
mod client;
mod conditional;

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::Client;
use darkroom_jobs::ObjectKey;

use crate::config;
use conditional::Conditional;
use error::Error;
use probe::finding::Finding;

/// The objects of one bucket. Cloning is cheap and shares the connection pool.
///
/// A struct and not a trait: there is one S3, and the tests talk to a real one.
#[derive(Clone, Debug)]
pub struct Storage {
    client: Client,
    config: Arc<config::S3>,
    /// Whether `If-None-Match: *` is honoured, once the bucket was asked.
    conditional: Arc<Conditional>,
    metrics: metrics::Metrics,
    /// What every report of the bucket's health says beside what a probe finds.
    standing: Arc<[Finding]>,
}

/// An object's place at the server: `S3_PREFIX` is part of the name.
#[derive(Clone, Debug)]
struct Place {
    bucket: String,
    name: String,
}

impl Storage {
    /// Prepares the client; nothing is sent, so a bucket that is away delays no start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`](error::ErrorKind::Misconfigured) when `S3_CA_BUNDLE` cannot be used.
    pub async fn new(config: &config::S3) -> Result<Self, Error> {
        Ok(Self {
            client: client::connect(config).await?,
            config: Arc::new(config.clone()),
            conditional: Arc::default(),
            metrics: metrics::Metrics::default(),
            standing: Arc::default(),
        })
    }

    /// The same, with findings that follow from settings alone: every report of a probe has them.
    #[must_use]
    pub fn reporting(self, standing: impl IntoIterator<Item = Finding>) -> Self {
        Self { standing: standing.into_iter().collect(), ..self }
    }

    /// The same with another client, as tests need it whose clock is wrong or whose credentials are borrowed.
    #[cfg(feature = "test-hooks")]
    #[must_use]
    pub fn altered(
        &self,
        alter: impl FnOnce(aws_sdk_s3::config::Builder) -> aws_sdk_s3::config::Builder,
    ) -> Self {
        let client = Client::from_conf(alter(self.client.config().to_builder()).build());
        Self { client, ..self.clone() }
    }

    /// Name of the bucket that keeps finished pictures.
    pub fn bucket(&self) -> &str {
        &self.config.s3_bucket
    }

    /// Where the server is: `S3_ENDPOINT_URL`, or the address of AWS in the region.
    pub fn endpoint(&self) -> String {
        let aws = || format!("https://s3.{}.amazonaws.com", self.config.s3_region);
        self.config.s3_endpoint_url.clone().unwrap_or_else(aws)
    }

    /// Public address of an object, when `S3_PUBLIC_BASE_URL` is set.
    pub fn public_url(&self, key: &ObjectKey) -> Option<String> {
        let base = self.config.s3_public_base_url.as_deref()?.trim_end_matches('/');
        Some(format!("{base}/{}", self.place(key).name))
    }

    fn place(&self, key: &ObjectKey) -> Place {
        self.place_of(key.as_str())
    }

    fn place_of(&self, key: &str) -> Place {
        let staged = key.starts_with("staging/");
        let staging = self.config.s3_staging_bucket.as_ref().filter(|_| staged);
        Place {
            bucket: staging.unwrap_or(&self.config.s3_bucket).clone(),
            name: format!("{}{key}", self.config.s3_prefix),
        }
    }

    fn patience(&self) -> Duration {
        self.config.s3_operation_timeout
    }
}
