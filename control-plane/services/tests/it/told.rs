//! Contents in a catalog, and events about them, for the services that only listen.

use mcsp_catalog::{Catalog, ContentRow, PublicationRow};
use mcsp_domain::{
    Bucket, ContentId, ContentState, EventId, ObjectKey, Placement, Revision, SubscriptionTier, Tier, UserId,
    Visibility,
};
use mcsp_events::{Asset, Event, Headers, Message, SourceObject};
use mcsp_runtime::stage::{Context, Stage};

pub(crate) fn content(number: u8) -> ContentId {
    ContentId::from_bytes([number; 16])
}

pub(crate) fn user(number: u8) -> UserId {
    UserId::from_bytes([number; 16])
}

pub(crate) fn asset(number: u8) -> Asset {
    Asset { content: content(number), revision: Revision::FIRST, placement: placement() }
}

fn placement() -> Placement {
    Placement { region: "eu".to_owned(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot }
}

pub(crate) fn source() -> SourceObject {
    let key = ObjectKey::parse("sources/film").unwrap();
    SourceObject { key, etag: "e".to_owned(), len_bytes: 4 }
}

/// Adds a content with one publication, whose source is stored.
pub(crate) async fn add(catalog: &Catalog, number: u8, owner: UserId, state: ContentState) {
    let row = ContentRow {
        id: content(number),
        owner,
        title: format!("film {number}"),
        description: "of the sea".to_owned(),
        visibility: Visibility::Public,
        tier: SubscriptionTier::Free,
        state,
        reason: None,
        revision: Revision::FIRST,
        published_revision: (state == ContentState::Published).then_some(Revision::FIRST),
        placement: placement(),
        version: 1,
        created_us: 1,
        updated_us: 1,
    };
    let publication = PublicationRow {
        content: row.id,
        revision: Revision::FIRST,
        session: None,
        file_name: "film.mp4".to_owned(),
        source: Some(source()),
        plan: None,
        package: None,
        duration_ms: None,
        created_us: 1,
        published_us: None,
    };
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_content(&row).await.unwrap();
    tx.insert_publication(&publication).await.unwrap();
    tx.commit().await.unwrap();
}

/// Hands an event to a stage as the log would; `number` names the event.
pub(crate) async fn handle<S: Stage<Input = I>, I>(stage: &S, input: I, number: u32) {
    let headers = Headers {
        id: EventId::derived(&[b"told", &number.to_be_bytes()]),
        kind: "test".to_owned(),
        version: 1,
        source: "test".to_owned(),
        time_us: 1_760_000_000_000_000 + i64::from(number),
        traceparent: None,
        cause: None,
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    let outgoing = stage.handle(input, &Context::alone(headers, "key")).await.unwrap();
    assert_eq!(outgoing, [], "what is said goes through the catalog");
}

/// Returns what the catalog sends, in its order.
pub(crate) async fn sent(catalog: &Catalog) -> Vec<Message> {
    catalog.outbox_after(0, 100).await.unwrap().into_iter().map(|row| row.message).collect()
}

/// Reads a payload.
pub(crate) fn read<E: Event>(message: &Message) -> E {
    assert_eq!(message.topic.as_str(), E::TOPICS[0].name());
    serde_json::from_slice(&message.payload).unwrap()
}
