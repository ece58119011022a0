//! Where traces go.

use clap::Args;

use super::check::is_address;

/// Where the spans of jobs go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traces")]
pub struct Traces {
    /// OpenTelemetry collector that takes OTLP over HTTP, like http://127.0.0.1:4318, without TLS; unset means no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = collector)]
    pub otlp_endpoint: Option<String>,
}

/// The collector is beside the worker: the exporter speaks no TLS.
fn collector(text: &str) -> Result<String, String> {
    let address = text.trim_end_matches('/');
    if address.starts_with("http://") && is_address(Some(address)) {
        return Ok(address.to_owned());
    }
    Err("expected the address of a collector beside the worker, like http://127.0.0.1:4318; TLS is not supported".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_without_tls() {
        assert_eq!(collector("http://otel:4318/"), Ok("http://otel:4318".into()));
        for wrong in ["https://otel:4318", "otel:4318", "http://", ""] {
            assert!(collector(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
