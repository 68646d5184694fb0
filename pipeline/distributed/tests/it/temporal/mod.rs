//! `TemporalEngine` on a real server: the promises of its port, then what is its own. The address is in `MCSP_TEMPORAL`;
//! `MCSP_TEMPORAL_SERVER` names the program of the server for the test that kills it. Every test has a namespace of its own.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod deaths;
mod limits;
mod recorded;
mod refusals;
mod server;
mod waits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mcsp_distributed::{TemporalEngine, TemporalOptions};
use mcsp_runtime::saga::SagaDefinition;
use mcsp_runtime::{SagaEngine, SagaState, SagaStatus, conformance};
use temporalio_client::tonic::{Code, IntoRequest};
use temporalio_client::{Connection, ConnectionOptions, RegisterNamespaceOptions, Url};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;

/// Far above what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns options for tests: short leases, and a fresh namespace on the server of the tests.
async fn fresh(address: &str) -> TemporalOptions {
    quick(address, &namespace(address).await)
}

fn quick(address: &str, namespace: &str) -> TemporalOptions {
    let (lease, wait) = (Duration::from_secs(2), Duration::from_secs(20));
    TemporalOptions { lease, wait, keep: Duration::ZERO, ..TemporalOptions::new(address, namespace) }
}

/// Makes a namespace and returns its name once the server knows it.
async fn namespace(address: &str) -> String {
    let name = format!("test-{}", uuid::Uuid::now_v7());
    let target = Url::parse(&format!("http://{address}")).unwrap();
    let connection = Connection::connect(ConnectionOptions::new(target).build()).await.unwrap();
    let options = RegisterNamespaceOptions::builder().namespace(&name).description("a test's own").build();
    let request =
        temporalio_common::protos::temporal::api::workflowservice::v1::RegisterNamespaceRequest::from(options);
    connection.workflow_service().register_namespace(request.into_request()).await.unwrap();
    until("the namespace is known", || async {
        let request = DescribeNamespaceRequest { namespace: name.clone(), ..Default::default() };
        match connection.workflow_service().describe_namespace(request.into_request()).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound, "{status}");
                false
            }
        }
    })
    .await;
    name
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::timeout(Duration::from_millis(10), std::future::pending::<()>()).await.unwrap_err();
    }
}

async fn open(options: &TemporalOptions, definitions: Vec<SagaDefinition>) -> TemporalEngine {
    TemporalEngine::open(options.clone(), definitions).await.unwrap()
}

async fn status(engine: &TemporalEngine, id: &str) -> SagaStatus {
    engine.status(id).await.unwrap().unwrap()
}

/// Waits until a saga is so far, and returns its status.
async fn reaches(engine: &TemporalEngine, id: &str, state: SagaState) -> SagaStatus {
    until(&format!("{id} is {state:?}"), || async { status(engine, id).await.state == state }).await;
    status(engine, id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let begin = Instant::now();
    // `make` cannot wait: it is given a namespace that is there.
    let spare = std::sync::Mutex::new(Vec::new());
    for _ in 0..12 {
        let options = fresh(&address).await;
        spare.lock().unwrap().push(options);
    }
    conformance::saga_engine(|| {
        let options = spare.lock().unwrap().pop().unwrap();
        move |definitions| {
            let options = options.clone();
            async move { Arc::new(open(&options, definitions).await) as Arc<dyn SagaEngine> }
        }
    })
    .await;
    println!("conformance of sagas on temporal: {:?}", begin.elapsed());
}
