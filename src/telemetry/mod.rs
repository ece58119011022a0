//! What a process tells about itself: log lines on stderr, spans to a collector; results alone go to stdout.

pub mod traces;

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat, Traces};
use traces::Export;

/// Put before the operator's filter: these log whole requests, or every frame.
const QUIET: &str = "s3s=off,s3s_fs=warn,apalis_core=warn,hyper=warn,h2=warn,aws_config=warn,aws_smithy_runtime=warn,rustls=warn";

/// Starts logging: text on a terminal, one JSON object per line elsewhere. Spans are exported when `traces` names a
/// collector; call it within the runtime that is to send them.
///
/// Call it once for a process; a second call changes nothing.
pub fn start(log: &Log, traces: Option<&Traces>) -> Export {
    let text = match log.log_format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer::<Registry>().with_writer(io::stderr);
    let lines = if text {
        lines.with_target(false).with_ansi(io::stderr().is_terminal()).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    };
    let (export, spans) = Export::start(traces);
    let subscriber = Registry::default().with(vec![lines.with_filter(filter(&log.log)).boxed()]).with(spans);
    // A process that has its subscriber already (a test) keeps it.
    let _ = subscriber.try_init();
    export
}

fn filter(directives: &str) -> EnvFilter {
    EnvFilter::try_new(format!("{QUIET},{directives}"))
        .or_else(|_| EnvFilter::try_new(QUIET))
        .expect("our own directives parse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_server_logs_no_requests_unless_asked_to() {
        let by_default = filter("info").to_string();
        let asked = filter("info,s3s_fs=debug").to_string();

        assert!(by_default.contains("s3s_fs=warn") && by_default.contains("info"), "{by_default}");
        assert!(asked.contains("s3s_fs=debug") && !asked.contains("s3s_fs=warn"), "{asked}");
    }
}
