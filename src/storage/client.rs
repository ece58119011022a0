//! The SDK's client, with every default replaced that was seen to go wrong.

use std::time::Duration;

use aws_config::retry::ErrorKind as Reason;
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        SharedHttpClient, StalledStreamProtectionConfig,
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
        timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use super::error::{Error, ErrorKind, retry_after};
use crate::config;

const ATTEMPTS: u32 = 3;

/// Longest pause asked for by a server that is waited for here; longer ones are the queue's.
const SHORT: Duration = Duration::from_secs(2);

/// Grace before a download that stands still is given up.
const STALL_GRACE: Duration = Duration::from_secs(10);

pub(super) async fn connect(config: &config::S3) -> Result<Client, Error> {
    let shared = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(config)?)
        .region(Region::new(config.s3_region.clone()))
        .timeout_config(time_outs(config))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .stalled_stream_protection(stall_protection());
    let shared = match credentials(config) {
        Some(credentials) => shared.credentials_provider(credentials).load().await,
        None => shared.load().await,
    };

    let mut client = aws_sdk_s3::config::Builder::from(&shared);
    client.set_endpoint_url(config.s3_endpoint_url.clone());
    let client = client
        .force_path_style(config.s3_force_path_style)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_classifier(TooManyRequests)
        .build();
    Ok(Client::from_conf(client))
}

/// Uploads are not watched for stalls: attempts have a time-out, and bodies are in memory.
fn stall_protection() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::enabled()
        .upload_enabled(false)
        .download_enabled(true)
        .grace_period(STALL_GRACE)
        .build()
}

fn time_outs(config: &config::S3) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(config.s3_connect_timeout)
        .operation_attempt_timeout(config.s3_attempt_timeout)
        .operation_timeout(config.s3_operation_timeout)
        .build()
}

fn credentials(config: &config::S3) -> Option<Credentials> {
    let id = config.s3_access_key_id.as_ref()?;
    let secret = config.s3_secret_access_key.as_ref()?;
    Some(Credentials::new(id, secret.reveal(), None, None, "darkroom"))
}

fn http_client(config: &config::S3) -> Result<SharedHttpClient, Error> {
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let Some(bundle) = &config.s3_ca_bundle else { return Ok(builder.build_https()) };
    let pem = std::fs::read(bundle).map_err(unusable)?;
    let trust = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(unusable)?;
    Ok(builder.tls_context(context).build_https())
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(ErrorKind::Misconfigured, "S3_CA_BUNDLE", error)
}

/// A 429 is retried whatever its body is (Hetzner's proxy sends HTML), unless it asks for a long pause.
#[derive(Debug)]
struct TooManyRequests;

impl ClassifyRetry for TooManyRequests {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(response) = context.response() else { return RetryAction::NoActionIndicated };
        match (response.status().as_u16(), retry_after(response)) {
            (429 | 503, Some(pause)) if pause > SHORT => RetryAction::RetryForbidden,
            (429 | 503, Some(pause)) => {
                RetryAction::retryable_error_with_explicit_delay(Reason::ThrottlingError, pause)
            }
            (429, _) => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "too many requests"
    }
}
