//! The trace of an event, carried on: from its headers into the span of its work, and from there into what follows
//! (W3C Trace Context level 1). Works with and without a collector, once `start_with` has run.

use mcsp_events::TraceParent;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span the child of the work that sent `parent`; without one its trace is that of the span around it, or a new
/// one. Must be called before the span is entered: a span that has begun keeps the parent it has.
pub fn set_parent(span: &Span, parent: Option<&TraceParent>) {
    let Some(parent) = parent.and_then(span_context) else { return };
    // It fails where no service has started telemetry, as in tests of a stage: there is no trace to carry on then.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}

/// Returns the trace of the span that is entered here, for the headers of what follows from it.
pub fn current_traceparent() -> Option<TraceParent> {
    traceparent(Context::current().span().span_context())
}

/// Returns the trace of a span that need not be entered.
pub fn traceparent_of(span: &Span) -> Option<TraceParent> {
    traceparent(span.context().span().span_context())
}

fn traceparent(span: &SpanContext) -> Option<TraceParent> {
    let trace_id = u128::from_be_bytes(span.trace_id().to_bytes());
    let span_id = u64::from_be_bytes(span.span_id().to_bytes());
    TraceParent::new(trace_id, span_id, span.is_sampled())
}

fn span_context(parent: &TraceParent) -> Option<SpanContext> {
    let parts: Vec<&str> = parent.as_str().split('-').collect();
    let [_, trace, span, flags] = parts[..] else { return None };
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}
