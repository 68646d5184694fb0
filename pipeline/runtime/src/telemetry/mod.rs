//! What a process says of itself: logs on stderr (never on stdout, which belongs to data), traces (`trace`), figures
//! (`metrics`). Commands that run and end call `start`; services call `start_with` and keep its guard.

mod json_lines;
pub mod metrics;
mod trace;

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use json_lines::JsonLines;
pub use trace::{current_traceparent, set_parent, traceparent_of};

/// What the names of our crates begin with; other crates' spans are no part of a trace.
const OUR_TARGETS: &str = "mcsp";
/// How long the end of a process waits for its last spans to be taken.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, target, message, fields.
    #[default]
    Text,
    /// For machines: one JSON object a line, with the ids of its trace and span.
    Json,
}

/// What a service says of itself, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The service's name in traces, such as `mcsp-worker`.
    pub service: String,
    /// Which lines are written, in the words of `tracing_subscriber::EnvFilter`: `info`, `warn,mcsp_runtime=debug`.
    pub filter: String,
    /// How they look.
    pub format: Format,
    /// Where spans go, `http://host:port` of an OTLP collector over gRPC; none keeps them here, with ids all the same.
    pub otlp: Option<String>,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("log filter {filter:?} cannot be read")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The collector's address is not one, or there is no runtime to reach it on.
    #[error("spans cannot be sent to {endpoint:?}: {why}")]
    Collector {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The process has logs or metrics already.
    #[error("{what} of this process had been started before")]
    Started {
        /// `logs` or `metrics`.
        what: &'static str,
    },
}

/// Ends telemetry when it is dropped: spans that still wait are sent, which blocks for at most 5 s. Drop it off the
/// runtime's threads and before the runtime ends.
#[derive(Debug)]
#[must_use = "spans that still wait are lost without it"]
pub struct Guard {
    spans: SdkTracerProvider,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.spans.shutdown_with_timeout(FLUSH_MAX) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Starts logging for a command: lines filtered by `MCSP_LOG` (`warn` by default). A second call does nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env("MCSP_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time();
    let subscriber = subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A test binary may have started it already: that one stays.
    let _ = subscriber.try_init();
}

/// Starts logs and traces for a service. Spans get ids whether they are sent or not, so that one trace runs from the
/// first event into the last child. With a collector it must be called on a Tokio runtime of several threads.
///
/// # Errors
/// When the filter or the collector's address cannot be read, or logs have been started before.
pub fn start_with(options: &Options) -> Result<Guard, TelemetryError> {
    let spans = tracer_provider(options)?;
    let subscriber = subscriber(options, &spans, std::io::stderr)?;
    subscriber.try_init().map_err(|_| TelemetryError::Started { what: "logs" })?;
    Ok(Guard { spans })
}

/// Says whether a filter can be read.
///
/// # Errors
/// When it cannot.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

/// Makes what gives spans their ids. The caller's choice to sample is kept; a trace that begins here is sampled.
fn tracer_provider(options: &Options) -> Result<SdkTracerProvider, TelemetryError> {
    let resource = Resource::builder().with_service_name(options.service.clone()).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
    let builder = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampler);
    let Some(endpoint) = &options.otlp else { return Ok(builder.build()) };
    let fault = |why: String| TelemetryError::Collector { endpoint: endpoint.clone(), why };
    // The exporter's channel puts a task on the runtime that it is made on, and panics without one.
    tokio::runtime::Handle::try_current().map_err(|_| fault("there is no runtime".to_owned()))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| fault(error.to_string()))?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// Puts logs and traces together. Each has its own filter: a quiet log must not take the ids away.
fn subscriber<W>(
    options: &Options,
    spans: &SdkTracerProvider,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = parse_filter(&options.filter)?;
    let traces = tracing_opentelemetry::layer()
        .with_tracer(spans.tracer(OUR_TARGETS))
        .with_location(false)
        .with_threads(false)
        .with_filter(Targets::new().with_target(OUR_TARGETS, LevelFilter::INFO));
    Ok(tracing_subscriber::registry().with(traces).with(lines(options.format, writer).with_filter(filter)))
}

fn lines<S, W>(format: Format, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.event_format(JsonLines).boxed(),
    }
}

#[cfg(test)]
mod collector;
#[cfg(test)]
mod tests;
