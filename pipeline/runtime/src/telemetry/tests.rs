//! Traces through spans and headers, and the lines of the log, each with a subscriber of its own.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mcsp_events::TraceParent;

use super::*;

/// Takes what the log writes.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options(filter: &str, format: Format) -> Options {
    Options { service: "test".to_owned(), filter: filter.to_owned(), format, otlp: None }
}

/// Runs `body` under telemetry of its own and returns what was logged.
fn logged(filter: &str, format: Format, body: impl FnOnce()) -> String {
    let page = Page::default();
    let writer = page.clone();
    let options = options(filter, format);
    let spans = tracer_provider(&options).unwrap();
    let subscriber = subscriber(&options, &spans, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, body);
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

fn parent(flags: &str) -> TraceParent {
    TraceParent::parse(&format!("{PARENT}-{flags}")).unwrap()
}

#[test]
fn a_trace_runs_on_through_spans_and_headers() {
    logged("warn", Format::Text, || {
        let span = tracing::info_span!("record");
        set_parent(&span, Some(&parent("01")));
        let outer = span.in_scope(|| current_traceparent().unwrap());
        assert_eq!(outer.trace_id(), parent("01").trace_id());
        assert_ne!(outer, parent("01"), "the work is a span of its own");
        assert_eq!(traceparent_of(&span), Some(outer.clone()));
        let inner = span.in_scope(|| tracing::info_span!("child").in_scope(|| current_traceparent().unwrap()));
        assert_eq!(inner.trace_id(), outer.trace_id());
        assert_ne!(inner, outer);
        // What follows from it, in another process.
        let next = tracing::info_span!("record");
        set_parent(&next, Some(&inner));
        assert_eq!(next.in_scope(|| current_traceparent().unwrap()).trace_id(), outer.trace_id());
    });
}

#[test]
fn a_trace_begins_where_there_is_none() {
    logged("off", Format::Text, || {
        let begin = || tracing::info_span!("first").in_scope(|| current_traceparent().unwrap());
        let (one, other) = (begin(), begin());
        assert_ne!(one.trace_id(), other.trace_id());
        assert!(one.as_str().ends_with("-01"), "{one:?} is not sampled");
        assert_eq!(current_traceparent(), None);
    });
}

#[test]
fn the_senders_choice_to_sample_is_kept() {
    logged("warn", Format::Text, || {
        for flags in ["00", "01"] {
            let span = tracing::info_span!("record");
            set_parent(&span, Some(&parent(flags)));
            let here = span.in_scope(|| current_traceparent().unwrap());
            assert_eq!(here.trace_id(), parent(flags).trace_id());
            assert!(here.as_str().ends_with(flags), "{here:?}");
        }
    });
}

#[test]
fn a_trace_is_there_again_after_a_task_has_waited() {
    use tracing::Instrument;
    logged("warn", Format::Text, || {
        let span = tracing::info_span!("record");
        set_parent(&span, Some(&parent("01")));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let work = async {
            tokio::task::yield_now().await;
            current_traceparent().unwrap()
        };
        assert_eq!(runtime.block_on(work.instrument(span)).trace_id(), parent("01").trace_id());
    });
}

#[test]
fn a_line_of_json_names_its_trace() {
    let text = logged("info", Format::Json, || {
        let span = tracing::info_span!("record");
        set_parent(&span, Some(&parent("01")));
        span.in_scope(|| tracing::info!(count = 3_u64, name = "a \"film\"", whole = true, "stored {}", 7));
        tracing::debug!("not shown");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["message"], "stored 7");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["fields"], serde_json::json!({ "count": 3, "name": "a \"film\"", "whole": true }));
    assert_eq!(line["trace_id"], parent("01").trace_id());
    assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    assert!(line["target"].as_str().unwrap().starts_with("mcsp_runtime::telemetry"));
}

#[test]
fn a_line_of_text_has_its_fields() {
    let text = logged("warn", Format::Text, || tracing::warn!(count = 3, "odd"));
    assert!(text.contains(" WARN ") && text.contains("odd count=3"), "{text}");
}

#[test]
fn a_wrong_filter_or_collector_is_named() {
    let fault = |filter: &str| {
        let options = options(filter, Format::Text);
        let spans = tracer_provider(&options).unwrap();
        subscriber(&options, &spans, io::sink).err().unwrap().to_string()
    };
    assert_eq!(fault("mcsp=loud"), "log filter \"mcsp=loud\" cannot be read");
    let options = Options { otlp: Some("http://127.0.0.1:1".to_owned()), ..options("warn", Format::Text) };
    let error = tracer_provider(&options).unwrap_err().to_string();
    assert_eq!(error, "spans cannot be sent to \"http://127.0.0.1:1\": there is no runtime");
}
