//! Ways to Redis and to the bucket, for commands that run once and end.

use anyhow::Context as _;
use darkroom_jobs::Producer;
use redis::aio::ConnectionManager;

use crate::{
    config::{self, check},
    queue::{connection, inspect::Inspector, operate::Operator},
    storage::Storage,
};

/// What is said when a call of Redis failed.
pub const AWAY: &str = "Redis did not answer as it should (DARKROOM_REDIS_URL)";

/// A producer on a connection that is made when it is first used.
///
/// # Errors
///
/// When the settings of Redis cannot be used.
pub fn producer(settings: &config::Redis) -> anyhow::Result<Producer> {
    Ok(producer_and_connection(settings)?.0)
}

/// A look at the queues.
///
/// # Errors
///
/// As [`producer`].
pub fn inspector(settings: &config::Redis) -> anyhow::Result<Inspector> {
    let (producer, connection) = producer_and_connection(settings)?;
    Ok(Inspector::new(producer, connection, settings.namespace.clone()))
}

/// A way to change jobs and queues.
///
/// # Errors
///
/// As [`producer`].
pub fn operator(settings: &config::Redis) -> anyhow::Result<Operator> {
    let (producer, connection) = producer_and_connection(settings)?;
    Ok(Operator::new(producer, connection, settings.namespace.clone()))
}

/// The bucket.
///
/// # Errors
///
/// When the settings of S3 cannot be used; exit code 78.
pub async fn storage(settings: &config::S3) -> anyhow::Result<Storage> {
    check::together([settings.problems()])?;
    Ok(Storage::new(settings).await?)
}

/// The bucket, with the settings of the environment: for commands that need it only in some calls.
///
/// # Errors
///
/// As [`storage`]; also when a setting is missing.
pub async fn storage_of_environment() -> anyhow::Result<Storage> {
    Ok(Storage::new(&check::of_environment(config::S3::problems)?).await?)
}

/// Both use the one connection.
fn producer_and_connection(settings: &config::Redis) -> anyhow::Result<(Producer, ConnectionManager)> {
    check::together([settings.problems()])?;
    let client = connection::client(settings).context("DARKROOM_REDIS_URL is not a URL of Redis")?;
    let connection = connection::impatient(&client)?;
    Ok((Producer::new(client, connection.clone(), settings.namespace.clone())?, connection))
}
