//! What a server brings: who may come in, what happens when it goes away, and commits that other processes hear of.

use std::time::Duration;

use mcsp_catalog::{Catalog, CatalogError, PostgresOptions, PostgresTls, PostgresTrust, Receipt, ScratchDatabase};
use mcsp_domain::UserId;
use serde_json::json;

use crate::support::{World, event, message};

/// Runs tests where a server is named.
macro_rules! on_a_server {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(world) = mcsp_catalog::ScratchDatabase::make().await.unwrap() {
                    super::$name(world).await;
                }
            })*
        }
    };
}

on_a_server! {
    a_commit_wakes_those_who_wait_in_other_processes,
    transactions_come_one_after_another_over_all_processes,
    positions_are_seen_in_their_order_by_a_reader_beside_many_writers,
    a_wait_for_the_writer_ends_in_time_and_may_pass,
    a_connection_that_is_cut_may_pass_and_nothing_is_half_done,
    a_session_that_is_left_in_its_first_step_serves_the_next,
    each_refusal_names_the_server_and_what_is_wrong,
    a_database_of_another_program_is_refused_and_left_as_it_was,
    a_user_without_rights_is_told,
    a_server_that_nobody_vouches_for_is_not_talked_to,
    a_wrong_password_is_told_and_not_repeated,
    texts_come_in_the_order_of_their_bytes_and_without_nul,
    a_batch_of_many_messages_is_written_and_read_whole,
}

const LONG: Duration = Duration::from_secs(30);

async fn open(database: &ScratchDatabase) -> Catalog {
    let options = PostgresOptions { busy_timeout: LONG, ..database.options() };
    Catalog::open_postgres(options).await.unwrap()
}

/// Opening without patience; its error.
async fn refusal(options: PostgresOptions) -> CatalogError {
    let open_wait = Duration::from_millis(200);
    Catalog::open_postgres(PostgresOptions { open_wait, ..options }).await.err().unwrap()
}

async fn a_commit_wakes_those_who_wait_in_other_processes(database: ScratchDatabase) {
    let (mine, theirs) = (open(&database).await, open(&database).await);
    let user = UserId::from_bytes([1; 16]);
    let mut their_notices = theirs.notices_changed(user);
    let mut tx = mine.begin().await.unwrap();
    tx.send(message(1)).unwrap();
    tx.notice(user, "content.state", None, &json!({}), 1).await.unwrap();
    tx.commit().await.unwrap();
    tokio::time::timeout(LONG, theirs.outbox_changed()).await.unwrap();
    tokio::time::timeout(LONG, their_notices.changed()).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_millis(50), theirs.deliveries_changed()).await;
    assert!(woken.is_err(), "no delivery was written");
}

async fn transactions_come_one_after_another_over_all_processes(database: ScratchDatabase) {
    // Each reads, decides and writes: beside another one, both would find the event fresh or lose a count.
    let handles = [open(&database).await, open(&database).await];
    let user = UserId::from_bytes([1; 16]);
    let tasks: Vec<_> = (0..40_u32)
        .map(|number| {
            let catalog = handles[number as usize % 2].clone();
            tokio::spawn(async move {
                let mut tx = catalog.begin().await.unwrap();
                let fresh = tx.receive("test.0", event(number % 4), 1).await.unwrap() == Receipt::Fresh;
                if fresh {
                    tx.notice(user, "content.state", None, &json!({}), 1).await.unwrap();
                }
                tx.commit().await.unwrap();
                fresh
            })
        })
        .collect();
    let mut fresh = 0;
    for task in tasks {
        fresh += u32::from(task.await.unwrap());
    }
    assert_eq!(fresh, 4);
    let positions: Vec<_> =
        handles[0].notices_after(user, 0, 100).await.unwrap().iter().map(|notice| notice.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
}

async fn positions_are_seen_in_their_order_by_a_reader_beside_many_writers(database: ScratchDatabase) {
    const WRITERS: u32 = 4;
    const EACH: u32 = 25;
    let handles = [open(&database).await, open(&database).await];
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let catalog = handles[writer as usize % 2].clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let mut tx = catalog.begin().await.unwrap();
                    tx.send(message(writer * 1000 + number)).unwrap();
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    // A reader that goes on from the last position misses none: whatever is seen has no gap below it.
    let (mut seen, mut last) = (0, 0);
    let all = async {
        while seen < WRITERS * EACH {
            for row in handles[0].outbox_after(last, 100).await.unwrap() {
                assert_eq!(row.position, last + 1);
                (seen, last) = (seen + 1, row.position);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn a_wait_for_the_writer_ends_in_time_and_may_pass(database: ScratchDatabase) {
    let world = World::Server(Box::new(database));
    let (holder, waiting) = (world.open().await, world.open_hasty().await.unwrap());
    let mut tx = holder.begin().await.unwrap();
    tx.receive("test.0", event(1), 1).await.unwrap();
    let Err(error) = waiting.begin().await else { panic!("two wrote at once") };
    assert!(matches!(error, CatalogError::Busy { .. }) && error.may_pass(), "{error:?}");
    assert_eq!(world.shown(&error), "catalog AT is held by another process: could not begin a transaction");
    // Reading, and opening, go on beside it.
    assert_eq!(world.open_hasty().await.unwrap().id().await.unwrap(), holder.id().await.unwrap());
    drop(tx);
    // The session of the wait that failed serves again.
    let freed = async { while waiting.begin().await.is_err() {} };
    tokio::time::timeout(LONG, freed).await.unwrap();
}

async fn a_connection_that_is_cut_may_pass_and_nothing_is_half_done(database: ScratchDatabase) {
    let catalog = open(&database).await;
    let mut tx = catalog.begin().await.unwrap();
    tx.receive("test.0", event(1), 1).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.run(cut).await.unwrap();
    tx.send(message(1)).unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(error.may_pass(), "{error:?}");
    // Every connection was cut, the listening one, too: all come back by themselves.
    let user = UserId::from_bytes([1; 16]);
    let again = async {
        loop {
            let Ok(mut tx) = catalog.begin().await else { continue };
            let Ok(receipt) = tx.receive("test.0", event(1), 1).await else { continue };
            assert_eq!(receipt, Receipt::Fresh, "handled by nobody");
            tx.notice(user, "content.state", None, &json!({}), 1).await.unwrap();
            tx.commit().await.unwrap();
            break;
        }
    };
    tokio::time::timeout(LONG, again).await.unwrap();
    assert_eq!(catalog.outbox_after(0, 10).await.unwrap(), []);
    let other = open(&database).await;
    let heard = async {
        let mut notices = catalog.notices_changed(user);
        loop {
            let mut tx = other.begin().await.unwrap();
            tx.notice(user, "content.state", None, &json!({}), 1).await.unwrap();
            tx.commit().await.unwrap();
            if tokio::time::timeout(Duration::from_millis(100), notices.changed()).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(LONG, heard).await.unwrap();
}

async fn a_session_that_is_left_in_its_first_step_serves_the_next(database: ScratchDatabase) {
    let catalog = open(&database).await;
    for _ in 0..50 {
        // Left at the first moment in which it waits for the server.
        let left = tokio::time::timeout(Duration::ZERO, catalog.begin()).await;
        drop(left);
        let now_us = 1;
        assert!(catalog.claim_lease("relay", "one", now_us, now_us + 100).await.unwrap());
        // Seen from elsewhere: it was committed, not written into a transaction that was left open.
        let other = catalog.lease("relay").await.unwrap();
        assert_eq!(other, Some(("one".to_owned(), 101)));
        catalog.release_lease("relay", "one").await.unwrap();
        assert_eq!(catalog.lease("relay").await.unwrap(), None);
    }
}

async fn each_refusal_names_the_server_and_what_is_wrong(database: ScratchDatabase) {
    let options = database.options();
    let PostgresOptions { host, port, user, .. } = &options;
    let missing = refusal(PostgresOptions { database: "mcsp_nowhere".to_owned(), ..options.clone() }).await;
    assert_eq!(
        missing.to_string(),
        format!(
            "catalog postgres://{user}@{host}:{port}/mcsp_nowhere is missing: database \"mcsp_nowhere\" does not exist; it \
             must be made before the program starts"
        )
    );
    assert!(!missing.may_pass());
    let stranger = refusal(PostgresOptions { user: "mcsp_nobody".to_owned(), ..options.clone() }).await;
    assert!(matches!(stranger, CatalogError::Login { .. }) && !stranger.may_pass(), "{stranger:?}");
    assert!(stranger.to_string().contains("mcsp_nobody"), "{stranger}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let absent = PostgresOptions { host: "127.0.0.1".to_owned(), port: closed, ..options.clone() };
    let unreachable = refusal(absent).await;
    assert!(matches!(unreachable, CatalogError::Unreachable { .. }) && unreachable.may_pass(), "{unreachable:?}");
    assert!(unreachable.to_string().contains(&format!("127.0.0.1:{closed}/")), "{unreachable}");
    let file = Some("/nowhere/authority.pem".into());
    let tls = PostgresTls::On { trust: PostgresTrust::Host, authorities: file, certificate: None };
    let unreadable = refusal(PostgresOptions { tls, ..options }).await;
    assert!(matches!(unreadable, CatalogError::Tls { .. }) && !unreadable.may_pass(), "{unreadable:?}");
    assert!(format!("{unreadable:?}").contains("/nowhere/authority.pem"), "{unreadable:?}");
}

async fn a_server_that_nobody_vouches_for_is_not_talked_to(database: ScratchDatabase) {
    // It offers no TLS, or shows a certificate that no authority of the system has signed.
    let tls = PostgresTls::On { trust: PostgresTrust::Authority, authorities: None, certificate: None };
    let error = refusal(PostgresOptions { tls, ..database.options() }).await;
    assert!(matches!(error, CatalogError::Tls { .. }) && !error.may_pass(), "{error:?}");
    assert!(error.to_string().ends_with("could not be reached by TLS"), "{error}");
}

async fn a_wrong_password_is_told_and_not_repeated(database: ScratchDatabase) {
    let password = Some(zeroize::Zeroizing::new("not the password".to_owned()));
    // A server that asks for none lets everybody in.
    let Err(error) = Catalog::open_postgres(PostgresOptions { password, ..database.options() }).await else { return };
    assert!(matches!(error, CatalogError::Login { .. }) && !error.may_pass(), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("not the password"), "{error:?}");
}

async fn a_database_of_another_program_is_refused_and_left_as_it_was(database: ScratchDatabase) {
    database.run("CREATE TABLE theirs (a BIGINT)").await.unwrap();
    let error = refusal(database.options()).await;
    assert!(error.to_string().ends_with("is not a catalog: a database of another program (1 tables)"), "{error}");
    database.run("ALTER TABLE theirs RENAME TO migration").await.unwrap();
    assert!(matches!(refusal(database.options()).await, CatalogError::Foreign { .. }));
    database.run("DROP TABLE migration").await.unwrap();
    open(&database).await;
}

async fn a_user_without_rights_is_told(database: ScratchDatabase) {
    database.run("REVOKE CREATE ON SCHEMA public FROM pg_database_owner").await.unwrap();
    let error = refusal(database.options()).await;
    assert!(matches!(error, CatalogError::Rights { .. }) && !error.may_pass(), "{error:?}");
    assert!(error.to_string().contains("permission denied for schema public"), "{error}");
}

async fn texts_come_in_the_order_of_their_bytes_and_without_nul(database: ScratchDatabase) {
    let catalog = open(&database).await;
    let sql = "INSERT INTO lease (name, owner, until_us) VALUES ('b', '', 1), ('B', '', 1), ('~', '', 1), ('a', '', 1);
        DO $$ BEGIN ASSERT (SELECT string_agg(name, '' ORDER BY name) FROM lease) = 'Bab~'; END $$";
    database.run(sql).await.unwrap();
    assert!(catalog.claim_lease("nul", "a\0b", 1, 2).await.unwrap());
    assert_eq!(catalog.lease("nul").await.unwrap(), Some(("a\u{fffd}b".to_owned(), 2)));
}

async fn a_batch_of_many_messages_is_written_and_read_whole(database: ScratchDatabase) {
    let catalog = open(&database).await;
    let mut tx = catalog.begin().await.unwrap();
    for number in 0..500 {
        tx.send(message(number)).unwrap();
    }
    tx.commit().await.unwrap();
    let rows = catalog.outbox_after(0, 1000).await.unwrap();
    assert!(rows.iter().zip(1..).all(|(row, position)| row.position == position));
    assert!(rows.iter().zip(0..).all(|(row, number)| row.message == message(number)));
    assert_eq!(rows.len(), 500);
    assert_eq!(catalog.outbox_delete_through(500).await.unwrap(), 500);
}
