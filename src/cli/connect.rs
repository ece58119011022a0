//! Ways to Redis and to the bucket, for commands that run once and end.

use anyhow::Context as _;
use darkroom_jobs::{Producer, wire::Connection};
use redis::RedisResult;

use crate::{
    config::{self, check},
    queue::{boot, connection, inspect::Inspector, operate::Operator},
    storage::Storage,
};

/// What is said when a call of Redis failed.
pub const AWAY: &str = "Redis did not answer as it should (DARKROOM_REDIS_URL)";

/// A producer, when Redis answers.
///
/// # Errors
///
/// When the settings of Redis cannot be used, or Redis does not answer or refuses us.
pub async fn producer(settings: &config::Redis) -> anyhow::Result<Producer> {
    Ok(answering(settings).await?.0)
}

/// A producer, unless Redis refuses us: for a command that tells what becomes of each job, also when Redis is away.
///
/// # Errors
///
/// When the settings of Redis cannot be used, or Redis refuses us.
pub async fn producer_let_in(settings: &config::Redis) -> anyhow::Result<Producer> {
    let (producer, connection) = producer_and_connection(settings)?;
    match ask(connection).await {
        Err(error) if boot::is_login(&error) => Err(error).context(AWAY),
        _ => Ok(producer),
    }
}

/// A look at the queues.
///
/// # Errors
///
/// As [`producer`].
pub async fn inspector(settings: &config::Redis) -> anyhow::Result<Inspector> {
    let (producer, connection) = answering(settings).await?;
    Ok(Inspector::new(producer, connection, settings.namespace.clone()))
}

/// A way to change jobs and queues.
///
/// # Errors
///
/// As [`producer`].
pub async fn operator(settings: &config::Redis) -> anyhow::Result<Operator> {
    let (producer, connection) = answering(settings).await?;
    Ok(Operator::new(producer, connection, settings.namespace.clone()))
}

/// Both, when Redis answers.
async fn answering(settings: &config::Redis) -> anyhow::Result<(Producer, Connection)> {
    let (producer, connection) = producer_and_connection(settings)?;
    ask(connection.clone()).await.context(AWAY)?;
    Ok((producer, connection))
}

/// Whether Redis lets us in. A transaction would not say: the client loses its connection over one that is refused.
async fn ask(mut connection: Connection) -> RedisResult<()> {
    match redis::cmd("PING").query_async(&mut connection).await {
        // A user without the right to ask this may have those that the command needs.
        Err(error) if error.code() == Some("NOPERM") => Ok(()),
        answer => answer,
    }
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
fn producer_and_connection(settings: &config::Redis) -> anyhow::Result<(Producer, Connection)> {
    check::together([settings.problems()])?;
    let client = connection::client(settings).context("DARKROOM_REDIS_URL is not a URL of Redis")?;
    let connection = connection::impatient(&client)?;
    Ok((Producer::new(client, connection.clone(), settings.namespace.clone())?, connection))
}
