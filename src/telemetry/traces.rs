//! Spans of jobs, sent to a collector as OTLP over HTTP; a trace begins with the producer, and goes on here.

use std::{collections::HashMap, sync::Arc, time::Duration};

use opentelemetry::{propagation::TextMapPropagator as _, trace::TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, SpanData},
};
use tokio::runtime::Handle;
use tracing::{Level, Span, Subscriber, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::config::Traces;

/// How long the collector may take for one export.
const EXPORT_TIME: Duration = Duration::from_secs(5);
/// How long spans that are left may take when the process ends.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The export of spans; [`end`](Self::end) sends what is left.
#[derive(Debug)]
pub struct Export(Option<SdkTracerProvider>);

impl Export {
    /// Begins it when a collector is named. Without one, or when it cannot be used, nothing is exported.
    pub(super) fn start<S>(traces: Option<&Traces>) -> (Self, Option<impl Layer<S>>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let provider = traces.and_then(|traces| traces.otlp_endpoint.as_deref()).and_then(provider);
        let layer = provider.as_ref().map(|provider| {
            let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("darkroom"));
            // Ours alone: the exporter's own requests would be exported for ever.
            spans.with_filter(Targets::new().with_target("darkroom", Level::INFO))
        });
        (Self(provider), layer)
    }

    /// Sends the spans that are left, for at most a second. Blocks: call it outside the runtime, while that still runs.
    pub fn end(self) {
        let Some(provider) = self.0 else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH_TIME) {
            warn!(error = %error, "spans were not all exported");
        }
    }
}

/// Makes `span` go on with the trace of a `traceparent` (W3C). One that is malformed begins a trace of its own.
pub fn go_on(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    // Refused where nothing is exported: then there is no trace to go on with.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

fn provider(endpoint: &str) -> Option<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_timeout(EXPORT_TIME)
        .build();
    match exporter {
        Ok(exporter) => {
            let exporter = OnRuntime { exporter: Arc::new(exporter), runtime: Handle::current() };
            let resource = Resource::builder().with_service_name("darkroom").build();
            Some(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
        }
        Err(error) => {
            eprintln!("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used, no traces are exported: {error}");
            None
        }
    }
}

/// Batches leave on a thread of the SDK's own, which has no reactor: the requests are sent by our runtime.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<SpanExporter>,
    runtime: Handle,
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exporter = Arc::clone(&self.exporter);
        let sent = self.runtime.spawn(async move { exporter.export(batch).await }).await;
        let sent = sent.unwrap_or_else(|died| Err(OTelSdkError::InternalFailure(died.to_string())));
        sent.inspect_err(|error| warn!(error = %error, "spans not exported"))
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
