//! The consumer that turns events into what users are told: a notice, and a message to the address of the content's owner.

use mcsp_catalog::{Catalog, CatalogError, Receipt, Tx};
use mcsp_domain::{EventId, UserId};
use mcsp_events::{Asset, Event, ModerationDecided, Outgoing, Published, Topic, UploadBlocked, inputs};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{StageError, now_us};
use serde_json::{Value, json};

use super::webhooks::delivery;
use crate::desk_fault;

inputs! {
    /// What users are told of.
    pub enum Told {
        Published(Published),
        Blocked(UploadBlocked),
        Decided(ModerationDecided),
    }
}

/// Tells users.
pub struct Notification {
    catalog: Catalog,
}

/// What is told.
struct Message {
    kind: &'static str,
    owner: UserId,
    data: Value,
}

impl Notification {
    /// Makes the stage.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }

    async fn tell(&self, told: Told, cx: &Context) -> Result<(), CatalogError> {
        let mut tx = self.catalog.begin().await?;
        let (event, at_us) = (cx.headers().id, cx.headers().time_us);
        if tx.receive(cx.namespace(), event, now_us()).await? == Receipt::Fresh
            && let Some(message) = read(&mut tx, &told).await?
        {
            if let Told::Decided(decided) = &told {
                let content = Some(decided.asset.content);
                tx.notice(message.owner, "moderation.decided", content, &message.data, now_us()).await?;
            }
            dispatch(&mut tx, &message, event, at_us).await?;
        }
        tx.commit().await
    }
}

/// Finds out whose event it is and what it says; nothing of a content that is not there.
async fn read(tx: &mut Tx, told: &Told) -> Result<Option<Message>, CatalogError> {
    let content = tx.content(asset(told).content).await?;
    let title = content.as_ref().map(|content| content.title.clone());
    let Asset { content: id, revision, .. } = asset(told);
    Ok(match told {
        Told::Published(event) => {
            let data =
                json!({ "content": id, "revision": revision, "title": title, "published_us": event.published_us });
            Some(Message { kind: Published::TOPICS[0].name(), owner: event.owner, data })
        }
        Told::Blocked(event) => {
            let data = json!({
                "content": id, "revision": revision, "title": title, "reason": event.reason, "detail": event.detail,
                "ranges": event.ranges,
            });
            Some(Message { kind: UploadBlocked::TOPICS[0].name(), owner: event.owner, data })
        }
        Told::Decided(event) => content.map(|content| {
            let data = json!({
                "content": id, "revision": revision, "title": content.title, "approved": event.approved,
                "reason": event.reason,
            });
            Message { kind: ModerationDecided::TOPICS[0].name(), owner: content.owner, data }
        }),
    })
}

/// Writes the message to the owner's address, where there is one that wants it. Its id follows from the event's, so that a
/// replay of the log tells nobody twice.
async fn dispatch(tx: &mut Tx, message: &Message, event: EventId, at_us: i64) -> Result<(), CatalogError> {
    let Some(webhook) = tx.webhook(message.owner).await? else { return Ok(()) };
    let is_wanted = webhook.events.is_empty() || webhook.events.iter().any(|kind| kind == message.kind);
    if webhook.disabled.is_some() || !is_wanted {
        return Ok(());
    }
    let id = EventId::derived(&[b"webhook", event.as_bytes(), webhook.id.as_bytes()]);
    tx.add_delivery(&delivery(webhook.id, id, message.kind, at_us, &message.data)).await
}

fn asset(told: &Told) -> &Asset {
    match told {
        Told::Published(event) => &event.asset,
        Told::Blocked(event) => &event.asset,
        Told::Decided(event) => &event.asset,
    }
}

impl Stage for Notification {
    const NAME: &'static str = "notification";
    const GROUP: &'static str = "notification";
    type Input = Told;
    const OUTPUTS: &'static [Topic] = &[];

    async fn handle(&self, input: Told, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.tell(input, cx).await.map_err(desk_fault)?;
        Ok(Vec::new())
    }
}
