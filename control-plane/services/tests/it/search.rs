//! The consumers that keep search: what is being made is hidden, what is published is found, in whatever order events come.

use mcsp_catalog::Catalog;
use mcsp_domain::{ContentState, PlanId, RenditionKind, RenditionName};
use mcsp_events::{Published, TranscodingCompleted};
use mcsp_services::search::{Indexer, RESULTS_MAX, SearchIndexer, SearchService};

use crate::support::World;
use crate::told::{add, asset, content, handle, user};

fn completed(number: u8, variant: u16) -> TranscodingCompleted {
    TranscodingCompleted {
        asset: asset(number),
        plan: PlanId::from_bytes([1; 16]),
        variant,
        variant_count: 2,
        rendition: RenditionName::parse("720p").unwrap(),
        kind: RenditionKind::Video,
        chunks: 1,
    }
}

fn published(number: u8) -> Published {
    Published { asset: asset(number), owner: user(1), plan: PlanId::from_bytes([1; 16]), published_us: 5 }
}

async fn count(catalog: &Catalog) -> usize {
    SearchService::new(catalog.clone()).find("film", 0, 10).await.unwrap().len()
}

/// Makes a content published, as the content service does.
async fn publish(catalog: &Catalog, number: u8) {
    let mut tx = catalog.begin().await.unwrap();
    let mut row = tx.content(content(number)).await.unwrap().unwrap();
    (row.state, row.published_revision) = (ContentState::Published, Some(row.revision));
    assert!(tx.update_content(&row).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_document_is_hidden_until_its_content_is_published() {
    let world = World::new();
    let catalog = world.catalog().await;
    add(&catalog, 1, user(1), ContentState::Processing).await;
    let (indexer, shower) = (Indexer::new(catalog.clone()), SearchIndexer::new(catalog.clone()));
    for variant in 0..2 {
        handle(&indexer, completed(1, variant), variant.into()).await;
    }
    assert!(catalog.has_document(content(1), asset(1).revision).await.unwrap());
    handle(&shower, published(1), 10).await;
    assert_eq!(count(&catalog).await, 0, "the content is not published, whatever an event says");
    publish(&catalog, 1).await;
    for event in [11, 11] {
        handle(&shower, published(1), event).await;
    }
    assert_eq!(count(&catalog).await, 1);
    handle(&indexer, completed(1, 0), 12).await;
    assert_eq!(count(&catalog).await, 1, "a late repetition hides nothing");
}

#[tokio::test]
async fn a_published_content_is_found_without_its_indexer_and_a_removed_one_is_not() {
    let world = World::new();
    let catalog = world.catalog().await;
    let (indexer, shower) = (Indexer::new(catalog.clone()), SearchIndexer::new(catalog.clone()));
    add(&catalog, 1, user(1), ContentState::Published).await;
    add(&catalog, 2, user(1), ContentState::Deleted).await;
    for number in [1, 2, 9] {
        handle(&shower, published(number), number.into()).await;
        handle(&indexer, completed(number, 0), 20 + u32::from(number)).await;
    }
    assert_eq!(count(&catalog).await, 1);
    assert!(!catalog.has_document(content(2), asset(2).revision).await.unwrap());
    let beyond = SearchService::new(catalog.clone()).find("film", RESULTS_MAX, 10).await.unwrap();
    assert_eq!(beyond, []);
}
