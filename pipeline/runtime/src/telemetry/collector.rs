//! Spans as a collector receives them: OpenTelemetry's own gRPC service, on a port of this machine.

use std::io;
use std::time::Duration;

use mcsp_events::TraceParent;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::*;

/// Passes on what it is sent.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let _ = self.0.send(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_spans_reach_the_collector_when_the_guard_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let otlp = Some(format!("http://{}", listener.local_addr().unwrap()));
    let (sender, mut received) = mpsc::unbounded_channel();
    let server = Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let options = Options { service: "mcsp-test".to_owned(), filter: "off".to_owned(), format: Format::Json, otlp };
    let spans = tracer_provider(&options).unwrap();
    let subscriber = subscriber(&options, &spans, io::sink).unwrap();
    let guard = Guard { spans };
    let parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let here = tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("record", stage = "transcode");
        set_parent(&span, Some(&parent));
        span.in_scope(|| current_traceparent().unwrap())
    });
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();

    let request = tokio::time::timeout(Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
    let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
    let name = resource.resource.as_ref().unwrap().attributes.iter().find(|pair| pair.key == "service.name").unwrap();
    assert_eq!(name.value.as_ref().unwrap().value, Some(Value::StringValue("mcsp-test".to_owned())));
    let [span] = &resource.scope_spans[0].spans[..] else { panic!("{request:?}") };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((span.name.as_str(), hex(&span.parent_span_id).as_str()), ("record", "b7ad6b7169203331"));
    assert_eq!(format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)), here.as_str());
    assert!(span.attributes.iter().any(|pair| pair.key == "stage"), "{span:?}");
}
