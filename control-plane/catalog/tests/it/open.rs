//! Opening: schemas, foreign files, files that are held.

use std::fs;
use std::sync::Arc;

use mcsp_catalog::CatalogError;
use sqlx::Executor;

use crate::support::{World, message};

crate::support::on_each_engine! {
    programs_that_start_at_once_make_one_catalog,
    a_renewed_id_stays,
    a_newer_schema_is_refused_by_name_and_numbers,
    another_history_is_refused,
}

#[tokio::test]
async fn a_new_file_is_migrated_and_opened_again_with_what_it_holds() {
    let world = World::sqlite();
    let catalog = world.open().await;
    let id = catalog.id().await.unwrap();
    let mut tx = catalog.begin().await.unwrap();
    tx.send(message(1)).unwrap();
    tx.commit().await.unwrap();
    catalog.close().await;

    let again = world.open().await;
    assert_eq!(again.id().await.unwrap(), id);
    assert_eq!(again.outbox_after(0, 10).await.unwrap()[0].message, message(1));
    let mut past = world.connection().await;
    let applied: Vec<(i64, String)> =
        sqlx::query_as("SELECT version, name FROM migration").fetch_all(&mut past).await.unwrap();
    let names = ["backbone", "identity", "content", "moderation", "playback", "notify"];
    let expected: Vec<_> = (1..).zip(names.map(str::to_owned)).collect();
    assert_eq!(applied, expected);
    let modes: (String, i64) = (
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut past).await.unwrap(),
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut past).await.unwrap(),
    );
    assert_eq!(modes, ("wal".to_owned(), 0x4d43_5343));
}

async fn programs_that_start_at_once_make_one_catalog(world: World) {
    let world = Arc::new(world);
    let openers: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.open().await.id().await.unwrap() })
        })
        .collect();
    let mut ids = Vec::new();
    for opener in openers {
        ids.push(opener.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one id: {ids:?}");
}

async fn a_renewed_id_stays(world: World) {
    let catalog = world.open().await;
    let old = catalog.id().await.unwrap();
    let new = catalog.renew_id().await.unwrap();
    assert_ne!(old, new);
    assert_eq!(world.open().await.id().await.unwrap(), new);
}

async fn a_newer_schema_is_refused_by_name_and_numbers(world: World) {
    world.open().await.close().await;
    world.run("INSERT INTO migration (version, name, digest) VALUES (7, 'later', 'x'), (8, 'last', 'y')").await;
    assert_eq!(
        world.open_hasty().await.err().unwrap(),
        "catalog AT has schema version 8, this program knows versions up to 6: start the newer program"
    );
}

async fn another_history_is_refused(world: World) {
    world.open().await.close().await;
    world.run("UPDATE migration SET name = 'theirs', digest = 'x'").await;
    assert_eq!(
        world.open_hasty().await.err().unwrap(),
        "catalog AT has migration 1 as \"theirs\", which is not the one that this program knows as \"backbone\""
    );
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    for mark in ["CREATE TABLE theirs (a)", "PRAGMA application_id = 7"] {
        let world = World::sqlite();
        world.connection().await.execute(mark).await.unwrap();
        let before = fs::read(world.path()).unwrap();
        let message = world.open_hasty().await.err().unwrap();
        assert!(message.starts_with("AT is not a catalog: an SQLite database of another program"), "{message}");
        assert_eq!(fs::read(world.path()).unwrap(), before, "{mark}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
    let world = World::sqlite();
    let text = "this is a letter, not a database ".repeat(100);
    fs::write(world.path(), &text).unwrap();
    assert_eq!(world.open_hasty().await.err().unwrap(), "AT is not a catalog: no SQLite database");
    assert_eq!(fs::read_to_string(world.path()).unwrap(), text);
}

#[tokio::test]
async fn a_missing_folder_is_told() {
    let error = mcsp_catalog::Catalog::open("sqlite:/nowhere/at/all/catalog.db").await.err().unwrap();
    assert!(!error.may_pass());
    assert_eq!(
        error.to_string(),
        "catalog /nowhere/at/all/catalog.db cannot be opened: its folder is missing, or closed to this user"
    );
}

#[tokio::test]
async fn a_file_that_is_held_is_told_and_free_again_afterwards() {
    let world = World::sqlite();
    let catalog = world.open_hasty().await.unwrap();
    let mut holder = world.connection().await;
    holder.execute("BEGIN IMMEDIATE").await.unwrap();

    // Opening and reading go on beside a writer; writing waits, then says so.
    let beside = world.open_hasty().await.unwrap();
    assert_eq!(beside.id().await.unwrap(), catalog.id().await.unwrap());
    let Err(error) = catalog.begin().await else { panic!("two wrote at once") };
    assert!(matches!(error, CatalogError::Busy { .. }) && error.may_pass());
    let text = error.to_string().replace(&world.path().display().to_string(), "AT");
    assert_eq!(text, "catalog AT is held by another process: could not begin a transaction");

    holder.execute("ROLLBACK").await.unwrap();
    catalog.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_new_file_that_is_held_is_told() {
    let world = World::sqlite();
    let mut holder = world.connection().await;
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let message = world.open_hasty().await.err().unwrap();
    assert!(message.starts_with("catalog AT is held by another process"), "{message}");
    holder.execute("ROLLBACK").await.unwrap();
    world.open_hasty().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::sqlite();
    world.open().await.close().await;
    let folder = world.path().parent().unwrap().to_owned();
    let permit = |folder_mode, file_mode| {
        fs::set_permissions(world.path(), fs::Permissions::from_mode(file_mode)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(folder_mode)).unwrap();
    };
    permit(0o500, 0o400);
    // The superuser writes all the same.
    let may_write = fs::write(folder.join("probe"), "").is_ok();
    let opened = world.open_hasty().await;
    permit(0o700, 0o600);
    match opened {
        Ok(_) => assert!(may_write, "opened in a folder that may not be written"),
        Err(message) => {
            let is_told = message.contains("may not be written") || message.contains("closed to this user");
            assert!(!may_write && is_told, "{message}");
        }
    }
}
