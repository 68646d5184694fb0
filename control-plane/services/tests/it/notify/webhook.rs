//! Messages to users' addresses, over real connections to an address that fails at first.

use std::time::Duration;

use mcsp_catalog::{Catalog, DeliveryRow, DeliveryState};
use mcsp_domain::{ContentState, UserId};
use mcsp_events::{BlockReason, ModerationDecided, Published, UploadBlocked};
use mcsp_services::licence::{MasterKey, MasterKeys};
use mcsp_services::notify::{
    NewWebhook, Notification, NotifyError, SenderSettings, TargetPolicy, Told, WebhookSender, WebhookService,
    WebhookView,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::receiver::Receiver;
use crate::support::World;
use crate::told::{add, asset, handle, user};

const SOON: Duration = Duration::from_millis(1);
const LOCAL: TargetPolicy = TargetPolicy { allow_http: true, allow_private: true };

fn masters() -> MasterKeys {
    MasterKeys::new(MasterKey::from_bytes([7; 32]), Vec::new())
}

fn service(catalog: &Catalog) -> WebhookService {
    WebhookService::new(catalog.clone(), masters(), LOCAL)
}

/// A sender that runs until it is stopped.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(catalog: &Catalog, owner: &str, pauses: &[Duration]) -> Self {
        let settings = SenderSettings {
            timeout: Duration::from_secs(5),
            pauses: pauses.to_vec(),
            policy: LOCAL,
            ..SenderSettings::default()
        };
        let sender = WebhookSender::new(catalog.clone(), masters(), owner, settings).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move { sender.run(async { stopped.await.unwrap_or(()) }).await });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn put(service: &WebhookService, owner: UserId, url: &str, events: &[&str], rotates_secret: bool) -> WebhookView {
    let events = events.iter().map(|event| (*event).to_owned()).collect();
    service.put(owner, NewWebhook { url: url.to_owned(), events, rotates_secret }).await.unwrap()
}

fn published(number: u8) -> Told {
    let plan = mcsp_domain::PlanId::from_bytes([1; 16]);
    Told::Published(Published { asset: asset(number), owner: user(1), plan, published_us: 5 })
}

/// Waits until the newest delivery of a user is in a state.
async fn settled(service: &WebhookService, owner: UserId, state: DeliveryState) -> WebhookView {
    let poll = async {
        loop {
            let view = service.get(owner).await.unwrap();
            if view.deliveries.first().is_some_and(|delivery| delivery.state == state) {
                // The address was read before its deliveries: it is as new as they are only now.
                return service.get(owner).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), poll).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_comes_again_under_its_id_until_it_is_taken() {
    let world = World::new();
    let catalog = world.catalog().await;
    add(&catalog, 1, user(1), ContentState::Published).await;
    let (service, stage) = (service(&catalog), Notification::new(catalog.clone()));
    let receiver = Receiver::new(&[500, 302]).await;
    let secret = put(&service, user(1), &receiver.url, &[], false).await.secret.unwrap();
    assert!(secret.starts_with("whsec_"));
    assert_eq!(service.get(user(1)).await.unwrap().secret, None, "shown once");
    for event in [1, 1] {
        handle(&stage, published(1), event).await;
    }
    let running = Running::start(&catalog, "desk-1", &[SOON; 5]);
    let got = receiver.wait(3).await;
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|got| got.id == got_id(&receiver) && got.is_signed_by(&secret)));
    let body = got[0].json();
    assert_eq!((&body["type"], &body["data"]["title"]), (&"media.published".into(), &"film 1".into()));
    assert_eq!(body["timestamp"], "2025-10-09T08:53:20.000001Z");
    let view = settled(&service, user(1), DeliveryState::Done).await;
    assert_eq!((view.deliveries.len(), view.deliveries[0].attempts, view.deliveries[0].status), (1, 3, Some(204)));
    running.stop().await;
    assert_eq!(catalog.lease("webhook-sender").await.unwrap(), None, "given back");
}

fn got_id(receiver: &Receiver) -> String {
    receiver.got()[0].id.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_was_killed_loses_nothing() {
    let world = World::new();
    let (catalog, second) = (world.catalog().await, world.catalog().await);
    let service = service(&catalog);
    let receiver = Receiver::new(&[503]).await;
    put(&service, user(1), &receiver.url, &[], false).await;
    let message = service.test(user(1)).await.unwrap();
    let running = Running::start(&catalog, "desk-1", &[Duration::from_secs(3600)]);
    receiver.wait(1).await;
    // Killed: neither its lease nor its attempt is given back, unless it got that far.
    running.task.abort();
    let _ = running.task.await;
    let waiting = only_delivery(&catalog).await;
    assert_eq!(waiting.state, DeliveryState::Waiting);
    // Its attempt counts as over, and its lease as run out, after a time that no test waits for.
    let mut tx = second.begin().await.unwrap();
    tx.end_delivery(&DeliveryRow { next_us: 0, ..waiting }).await.unwrap();
    tx.commit().await.unwrap();
    second.release_lease("webhook-sender", "desk-1").await.unwrap();
    let running = Running::start(&second, "desk-2", &[SOON; 5]);
    let got = receiver.wait(2).await;
    assert!(got.iter().all(|got| got.id == message.to_string()));
    settled(&service, user(1), DeliveryState::Done).await;
    running.stop().await;
}

/// Returns the only delivery, as it lies in the catalog.
async fn only_delivery(catalog: &Catalog) -> DeliveryRow {
    let webhook = catalog.webhook(user(1)).await.unwrap().unwrap();
    catalog.deliveries(webhook.id, 1).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_gone_or_never_answers_is_disabled_until_it_is_set_up_again() {
    let world = World::new();
    let catalog = world.catalog().await;
    add(&catalog, 1, user(1), ContentState::Published).await;
    let (service, stage) = (service(&catalog), Notification::new(catalog.clone()));
    let running = Running::start(&catalog, "desk-1", &[SOON]);
    let gone = Receiver::new(&[410]).await;
    put(&service, user(1), &gone.url, &[], false).await;
    service.test(user(1)).await.unwrap();
    let view = settled(&service, user(1), DeliveryState::Failed).await;
    assert_eq!(view.row.disabled.as_deref(), Some("it answered 410 Gone"));
    handle(&stage, published(1), 1).await;
    assert_eq!(service.get(user(1)).await.unwrap().deliveries.len(), 1, "nothing more is written for it");
    assert!(matches!(service.test(user(1)).await.unwrap_err(), NotifyError::Disabled { .. }));

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let view = put(&service, user(1), &format!("http://{closed}/"), &[], false).await;
    assert_eq!((view.row.disabled, view.secret), (None, None));
    service.test(user(1)).await.unwrap();
    let view = settled(&service, user(1), DeliveryState::Failed).await;
    assert_eq!(view.row.disabled.as_deref(), Some("it took nothing in 2 attempts"));
    assert!(view.deliveries[0].error.is_some() && view.deliveries[0].status.is_none());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_secrets_change_both_sign() {
    let world = World::new();
    let catalog = world.catalog().await;
    let service = service(&catalog);
    let receiver = Receiver::new(&[]).await;
    let secret = async |rotates| put(&service, user(1), &receiver.url, &[], rotates).await.secret;
    let (first, unchanged, second, third) =
        (secret(true).await.unwrap(), secret(false).await, secret(true).await.unwrap(), secret(true).await.unwrap());
    assert!(unchanged.is_none());
    service.test(user(1)).await.unwrap();
    let running = Running::start(&catalog, "desk-1", &[SOON]);
    let got = receiver.wait(1).await.remove(0);
    assert_eq!(got.signatures.split(' ').count(), 2);
    // The second was replaced before its day was over: the first, which the receiver surely has, stays.
    assert!(got.is_signed_by(&first) && got.is_signed_by(&third) && !got.is_signed_by(&second));
    running.stop().await;
}

#[tokio::test]
async fn events_become_messages_to_those_who_want_them() {
    let world = World::new();
    let catalog = world.catalog().await;
    add(&catalog, 1, user(1), ContentState::Review).await;
    let (service, stage) = (service(&catalog), Notification::new(catalog.clone()));
    let id = put(&service, user(1), "http://127.0.0.1:1/", &["moderation.decided"], false).await.row.id;
    handle(&stage, published(1), 1).await;
    let decided = |number| {
        let (decided_by, reason) = ("rules".to_owned(), "fine".to_owned());
        Told::Decided(ModerationDecided { asset: asset(number), approved: true, decided_by, reason })
    };
    handle(&stage, decided(1), 2).await;
    handle(&stage, decided(9), 3).await;
    put(&service, user(1), "http://127.0.0.1:1/", &[], false).await;
    let blocked = UploadBlocked {
        asset: asset(1),
        owner: user(1),
        reason: BlockReason::Malware,
        detail: "EICAR".to_owned(),
        ranges: Vec::new(),
    };
    handle(&stage, Told::Blocked(blocked), 4).await;
    let deliveries = catalog.deliveries(id, 10).await.unwrap();
    let kinds: Vec<&str> = deliveries.iter().map(|delivery| delivery.kind.as_str()).collect();
    assert_eq!(kinds, ["media.upload.blocked", "moderation.decided"], "newest first");
    assert!(!deliveries[1].payload.contains("rules"), "who decided is nobody's business");
    let notices = catalog.notices_after(user(1), 0, 10).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].kind, "moderation.decided");

    service.delete(user(1)).await.unwrap();
    assert!(matches!(service.delete(user(1)).await.unwrap_err(), NotifyError::NoWebhook { .. }));
    assert_eq!(catalog.deliveries(id, 10).await.unwrap(), []);
    handle(&stage, published(1), 5).await;
}

#[tokio::test]
async fn what_is_no_address_or_event_is_refused() {
    let world = World::new();
    let catalog = world.catalog().await;
    let strict = WebhookService::new(catalog.clone(), masters(), TargetPolicy::default());
    let wanted = |url: &str, event: &str| NewWebhook {
        url: url.to_owned(),
        events: vec![event.to_owned()],
        rotates_secret: false,
    };
    let refusal = async |url, event| strict.put(user(1), wanted(url, event)).await.unwrap_err().to_string();
    let private = refusal("https://169.254.169.254/latest", "media.published").await;
    assert_eq!(private, "webhook address is not of the public internet");
    let unknown = refusal("https://example.com/", "media.stage.failed").await;
    assert!(unknown.starts_with("webhook event \"media.stage.failed\" is none of media.published"), "{unknown}");
    assert!(matches!(strict.get(user(1)).await.unwrap_err(), NotifyError::NoWebhook { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_inside_is_not_called() {
    let world = World::new();
    let catalog = world.catalog().await;
    let service = service(&catalog);
    let receiver = Receiver::new(&[]).await;
    let port = receiver.url.split([':', '/']).nth(4).unwrap().to_owned();
    put(&service, user(1), &format!("http://localhost:{port}/hook"), &[], false).await;
    service.test(user(1)).await.unwrap();
    let policy = TargetPolicy { allow_private: false, ..LOCAL };
    let settings = SenderSettings { pauses: Vec::new(), policy, ..SenderSettings::default() };
    let sender = WebhookSender::new(catalog.clone(), masters(), "desk-1", settings).unwrap();
    let task = tokio::spawn(async move { sender.run(std::future::pending()).await });
    let view = settled(&service, user(1), DeliveryState::Failed).await;
    task.abort();
    let error = view.deliveries[0].error.clone().unwrap();
    assert!(error.contains("resolves to no address of the public internet"), "{error}");
    assert!(receiver.got().is_empty());
}
