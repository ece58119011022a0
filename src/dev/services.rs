//! The two servers that darkroom needs, and the settings that lead to them.

use std::{net::Ipv4Addr, path::Path};

use anyhow::Context as _;
use clap::{Args, Command};

use super::{redis::EmbeddedRedis, s3::EmbeddedS3};
use crate::config;

/// Bucket of the finished pictures, and of the originals that wait.
const BUCKET: &str = "darkroom-dev";

/// A running Redis and a running S3 server with their data under one folder. Dropping ends both.
#[derive(Debug)]
pub struct Services {
    /// The queue's server.
    pub redis: EmbeddedRedis,
    /// The pictures' server.
    pub s3: EmbeddedS3,
}

impl Services {
    /// Starts both, with an empty bucket where there was none.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub async fn start(dev: &config::Dev, folder: &Path) -> anyhow::Result<Self> {
        let redis = EmbeddedRedis::start(dev.redis_server.as_deref(), &folder.join("redis")).await?;
        let root = folder.join("s3");
        std::fs::create_dir_all(&root).with_context(|| format!("could not create {}", root.display()))?;
        let s3 = EmbeddedS3::start(&root, (Ipv4Addr::LOCALHOST, 0).into())
            .await
            .context("the embedded S3 server did not start")?;
        s3.create_bucket(BUCKET).await.context("could not create the bucket")?;
        Ok(Self { redis, s3 })
    }

    /// What others need in their environment to use both.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DARKROOM_REDIS_URL", self.redis.url()),
            ("S3_ENDPOINT_URL", self.s3.endpoint_url.clone()),
            ("S3_BUCKET", BUCKET.to_owned()),
            ("S3_ACCESS_KEY_ID", self.s3.access_key.clone()),
            ("S3_SECRET_ACCESS_KEY", self.s3.secret_key.clone()),
            ("S3_FORCE_PATH_STYLE", "true".to_owned()),
        ]
    }

    /// A group of settings that leads to these servers; the environment of this process is not looked at.
    ///
    /// # Errors
    ///
    /// When the group has a required setting that these servers do not give.
    pub fn settings<A: Args>(&self) -> anyhow::Result<A> {
        let ours = self.environment();
        let command = A::augment_args(Command::new("darkroom")).mut_args(|arg| {
            let name = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            let arg = arg.env(None::<&'static str>);
            match ours.iter().find(|(variable, _)| name.as_deref() == Some(*variable)) {
                // clap keeps defaults for as long as the process lives.
                Some((_, value)) => arg.required(false).default_value(&*value.clone().leak()),
                None => arg,
            }
        });
        Ok(A::from_arg_matches(&command.try_get_matches_from(["darkroom"])?)?)
    }
}
