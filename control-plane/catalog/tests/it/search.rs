//! Search: what is found, in which order, and by nobody.

use mcsp_catalog::{Catalog, ContentRow, Document};
use mcsp_domain::{Bucket, ContentId, ContentState, Placement, Revision, SubscriptionTier, Tier, UserId, Visibility};

use crate::support::World;

crate::support::on_each_engine! {
    every_word_counts_and_those_of_the_title_most,
    what_is_not_public_published_and_shown_is_found_by_nobody,
    a_document_stays_until_its_successor_is_shown,
    nothing_that_is_typed_breaks_the_query,
}

fn id(number: u8) -> ContentId {
    ContentId::from_bytes([number; 16])
}

fn content(number: u8, title: &str, description: &str) -> ContentRow {
    ContentRow {
        id: id(number),
        owner: UserId::from_bytes([1; 16]),
        title: title.to_owned(),
        description: description.to_owned(),
        visibility: Visibility::Public,
        tier: SubscriptionTier::Free,
        state: ContentState::Published,
        reason: None,
        revision: Revision::FIRST,
        published_revision: Some(Revision::FIRST),
        placement: Placement { region: "eu".to_owned(), bucket: Bucket::parse("media-eu").unwrap(), tier: Tier::Hot },
        version: 1,
        created_us: 1,
        updated_us: 1,
    }
}

fn document(row: &ContentRow, revision: Revision, visible: bool) -> Document {
    Document {
        content: row.id,
        revision,
        owner: row.owner,
        title: row.title.clone(),
        description: row.description.clone(),
        visibility: row.visibility,
        visible,
    }
}

/// Adds contents as they are, each with a document that viewers find.
async fn publish(catalog: &Catalog, rows: &[ContentRow]) {
    let mut tx = catalog.begin().await.unwrap();
    for row in rows {
        tx.insert_content(row).await.unwrap();
        tx.put_document(&document(row, Revision::FIRST, false)).await.unwrap();
        assert!(tx.show_document(row.id, Revision::FIRST).await.unwrap());
    }
    tx.commit().await.unwrap();
}

async fn titles(catalog: &Catalog, text: &str) -> Vec<String> {
    let hits = catalog.search(text, 0, 100).await.unwrap();
    hits.into_iter().map(|hit| hit.title).collect()
}

async fn every_word_counts_and_those_of_the_title_most(world: World) {
    let catalog = world.open().await;
    let films = [
        content(1, "Sea", "a long film about mountains and the sea, mountains, mountains"),
        content(2, "Mountains", "nothing else"),
        content(3, "Café in the mountains", "coffee"),
        content(4, "Other", "words"),
    ];
    publish(&catalog, &films).await;
    assert_eq!(titles(&catalog, "mountains").await, ["Mountains", "Café in the mountains", "Sea"]);
    assert_eq!(titles(&catalog, "mountains sea").await, ["Sea"]);
    assert_eq!(titles(&catalog, "CAFE mount").await, ["Café in the mountains"], "folded, and the last is a beginning");
    assert_eq!(titles(&catalog, "mount cafe").await, Vec::<String>::new(), "only the last is a beginning");
    let pages = [catalog.search("mountains", 0, 2).await.unwrap(), catalog.search("mountains", 2, 2).await.unwrap()];
    assert_eq!(pages.map(|page| page.len()), [2, 1]);
}

async fn what_is_not_public_published_and_shown_is_found_by_nobody(world: World) {
    let catalog = world.open().await;
    let base = content(0, "film", "");
    let rows = [
        ContentRow { id: id(1), title: "film seen".to_owned(), ..base.clone() },
        ContentRow { id: id(2), visibility: Visibility::Unlisted, ..base.clone() },
        ContentRow { id: id(3), visibility: Visibility::Private, ..base.clone() },
        ContentRow { id: id(4), published_revision: None, ..base.clone() },
        ContentRow { id: id(5), state: ContentState::Deleted, ..base.clone() },
        ContentRow { id: id(6), state: ContentState::Blocked, ..base.clone() },
        // A new source is in work: the old one is seen.
        ContentRow { id: id(7), title: "film processing".to_owned(), state: ContentState::Processing, ..base.clone() },
    ];
    publish(&catalog, &rows).await;
    let mut tx = catalog.begin().await.unwrap();
    let hidden = ContentRow { id: id(8), ..base };
    tx.insert_content(&hidden).await.unwrap();
    tx.put_document(&document(&hidden, Revision::FIRST, false)).await.unwrap();
    assert!(!tx.show_document(id(9), Revision::FIRST).await.unwrap(), "no such document");
    tx.commit().await.unwrap();
    let mut found = titles(&catalog, "film").await;
    found.sort_unstable();
    assert_eq!(found, ["film processing", "film seen"]);
}

async fn a_document_stays_until_its_successor_is_shown(world: World) {
    let catalog = world.open().await;
    let row = content(1, "first cut", "");
    publish(&catalog, std::slice::from_ref(&row)).await;
    let second = Revision::FIRST.next();
    let mut tx = catalog.begin().await.unwrap();
    tx.put_document(&document(&row, second, false)).await.unwrap();
    tx.put_document(&document(&row, Revision::FIRST, false)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(titles(&catalog, "first").await, ["first cut"], "neither hides it");
    assert!(catalog.has_document(row.id, second).await.unwrap());

    let mut tx = catalog.begin().await.unwrap();
    assert!(tx.show_document(row.id, second).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(titles(&catalog, "first").await, ["first cut"], "once");
    assert!(!catalog.has_document(row.id, Revision::FIRST).await.unwrap());

    let mut tx = catalog.begin().await.unwrap();
    tx.describe_documents(row.id, "last cut", "of all", Visibility::Public).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(titles(&catalog, "first").await, Vec::<String>::new());
    assert_eq!(catalog.search("last all", 0, 9).await.unwrap().len(), 1);

    let mut tx = catalog.begin().await.unwrap();
    tx.drop_document_of(row.id, Revision::FIRST).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(catalog.search("last", 0, 9).await.unwrap().len(), 1, "another revision's stays");
    let mut tx = catalog.begin().await.unwrap();
    tx.drop_document(row.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(catalog.search("last", 0, 9).await.unwrap(), []);
}

async fn nothing_that_is_typed_breaks_the_query(world: World) {
    let catalog = world.open().await;
    publish(&catalog, &[content(1, "a \"quoted\" film: part-1", "x")]).await;
    let odd = [
        "",
        " ",
        "\"",
        "\"\"",
        "\"a",
        "a\"",
        "*",
        "a*",
        "^a",
        "-a",
        "a AND",
        "OR",
        "NOT",
        "NEAR(a b)",
        "title:a",
        "(",
        ")",
        "{a}",
        "a + b",
        "'",
        "';--",
        "\0",
        "a\0b",
        "\u{feff}",
        "%",
        "_",
        "\\",
        "a:b:c",
        "💥",
        "٣٤٥",
        "中文",
        "é́́",
        "\u{202e}abc",
        "....",
        "---",
        "a\u{0301}\u{0301}",
        "ᾳ",
        "\n\r\t",
    ];
    for text in odd {
        catalog.search(text, 0, 10).await.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
    }
    for byte in 0..=255_u8 {
        let text = format!("{0}film{0} {0}", char::from(byte));
        catalog.search(&text, 0, 10).await.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
    }
    for text in ["quoted", "\"quoted\"", "part-1", "film: part", "(film)"] {
        assert_eq!(titles(&catalog, text).await.len(), 1, "{text}");
    }
}
