//! The statements on the journal's tables: one row a saga (who drives it, when it is due), one row a journal entry.

use mcsp_runtime::SagaState;
use mcsp_runtime::saga::{Fact, Journal};
use sqlx::SqliteConnection;

/// `wake_us` is when there is something to do: none before the start and after the end. A saga is driven by the holder of
/// its lease, named by `owner`. `entries` counts the journal's rows, so that a driver sees that it has grown.
pub(super) const TABLES: &str = "
CREATE TABLE saga (
    id TEXT NOT NULL PRIMARY KEY,
    definition TEXT,
    version INTEGER,
    state TEXT NOT NULL,
    reason TEXT,
    entries INTEGER NOT NULL,
    wake_us INTEGER,
    owner TEXT,
    lease_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX saga_wake ON saga (wake_us) WHERE wake_us IS NOT NULL;
CREATE INDEX saga_still ON saga (updated_us) WHERE wake_us IS NULL AND entries > 0;
CREATE TABLE saga_entry (
    saga TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    fact TEXT NOT NULL,
    PRIMARY KEY (saga, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE engine (alive_us INTEGER NOT NULL) STRICT;
INSERT INTO engine (alive_us) VALUES (0);
";

/// Sagas that one tidying removes, so that drivers get their turn.
const TIDY_SAGAS_MAX: u32 = 100;

/// A saga's row.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct SagaRow {
    pub(super) id: String,
    pub(super) definition: Option<String>,
    pub(super) version: Option<u32>,
    state: String,
    pub(super) reason: Option<String>,
    pub(super) entries: i64,
    pub(super) updated_us: i64,
}

impl SagaRow {
    pub(super) fn state(&self) -> SagaState {
        match self.state.as_str() {
            "not_started" => SagaState::NotStarted,
            "running" => SagaState::Running,
            "undoing" => SagaState::Undoing,
            "completed" => SagaState::Completed,
            "rolled_back" => SagaState::RolledBack,
            other => unreachable!("the engine alone writes states, and never {other:?}"),
        }
    }
}

fn state_text(state: SagaState) -> &'static str {
    match state {
        SagaState::NotStarted => "not_started",
        SagaState::Running => "running",
        SagaState::Undoing => "undoing",
        SagaState::Completed => "completed",
        SagaState::RolledBack => "rolled_back",
    }
}

/// Returns a saga's row.
pub(super) async fn row(connection: &mut SqliteConnection, id: &str) -> sqlx::Result<Option<SagaRow>> {
    sqlx::query_as("SELECT id, definition, version, state, reason, entries, updated_us FROM saga WHERE id = ?1")
        .bind(id)
        .fetch_optional(connection)
        .await
}

/// Returns a saga's row, made where there is none.
pub(super) async fn row_or_new(connection: &mut SqliteConnection, id: &str, now_us: i64) -> sqlx::Result<SagaRow> {
    if let Some(row) = row(connection, id).await? {
        return Ok(row);
    }
    sqlx::query("INSERT INTO saga (id, state, entries, lease_us, updated_us) VALUES (?1, 'not_started', 0, 0, ?2)")
        .bind(id)
        .bind(now_us)
        .execute(connection)
        .await?;
    let (id, state) = (id.to_owned(), state_text(SagaState::NotStarted).to_owned());
    Ok(SagaRow { id, definition: None, version: None, state, reason: None, entries: 0, updated_us: now_us })
}

/// Returns a saga's journal.
pub(super) async fn journal(connection: &mut SqliteConnection, id: &str) -> sqlx::Result<Journal> {
    let rows: Vec<(i64, String)> = sqlx::query_as("SELECT at_us, fact FROM saga_entry WHERE saga = ?1 ORDER BY seq")
        .bind(id)
        .fetch_all(connection)
        .await?;
    let mut journal = Journal::default();
    for (at_us, fact) in rows {
        let fact = serde_json::from_str(&fact).map_err(|error| sqlx::Error::Decode(error.into()))?;
        journal.push(at_us, fact);
    }
    Ok(journal)
}

/// Adds to a saga's journal. Entries never go back in time, whatever the clocks of its writers say.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    row: &SagaRow,
    now_us: i64,
    fact: &Fact,
) -> sqlx::Result<()> {
    let at_us = now_us.max(row.updated_us);
    sqlx::query("INSERT INTO saga_entry (saga, seq, at_us, fact) VALUES (?1, ?2, ?3, ?4)")
        .bind(&row.id)
        .bind(row.entries)
        .bind(at_us)
        .bind(written(fact))
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE saga SET entries = entries + 1, updated_us = ?2 WHERE id = ?1")
        .bind(&row.id)
        .bind(at_us)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes a repeated failure over the one before it: an undo is tried for as long as it takes, and the journal is bounded.
/// Returns whether there was one.
pub(super) async fn replace_last_failure(
    connection: &mut SqliteConnection,
    row: &SagaRow,
    now_us: i64,
    fact: &Fact,
) -> sqlx::Result<bool> {
    let Fact::UndoFailed { step, .. } = fact else { return Ok(false) };
    let replaced = sqlx::query(
        "UPDATE saga_entry SET at_us = ?3, fact = ?4
         WHERE saga = ?1 AND seq = ?2 AND fact ->> 'fact' = 'undo_failed' AND fact ->> 'step' = ?5",
    )
    .bind(&row.id)
    .bind(row.entries - 1)
    .bind(now_us.max(row.updated_us))
    .bind(written(fact))
    .bind(step)
    .execute(connection)
    .await?;
    Ok(replaced.rows_affected() == 1)
}

fn written(fact: &Fact) -> String {
    match serde_json::to_string(fact) {
        Ok(text) => text,
        Err(error) => unreachable!("a fact has text keys and finite numbers alone: {error}"),
    }
}

/// Returns whether the very same fact stands in the journal.
pub(super) async fn holds(connection: &mut SqliteConnection, id: &str, fact: &Fact) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM saga_entry WHERE saga = ?1 AND fact = ?2)")
        .bind(id)
        .bind(written(fact))
        .fetch_one(connection)
        .await
}

/// Returns whether the saga is cancelled.
pub(super) async fn is_cancelled(connection: &mut SqliteConnection, id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM saga_entry WHERE saga = ?1 AND fact ->> 'fact' = 'cancelled')")
        .bind(id)
        .fetch_one(connection)
        .await
}

/// Marks a saga as started and due.
pub(super) async fn mark_started(
    connection: &mut SqliteConnection,
    id: &str,
    definition: (&str, u32),
    now_us: i64,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE saga SET definition = ?2, version = ?3, state = 'running', wake_us = ?4 WHERE id = ?1")
        .bind(id)
        .bind(definition.0)
        .bind(definition.1)
        .bind(now_us)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes a started saga due.
pub(super) async fn wake(connection: &mut SqliteConnection, id: &str, now_us: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE saga SET wake_us = min(wake_us, ?2) WHERE id = ?1 AND wake_us IS NOT NULL")
        .bind(id)
        .bind(now_us)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns sagas after an id, in rising order.
pub(super) async fn list(
    connection: &mut SqliteConnection,
    after: Option<&str>,
    max: i64,
) -> sqlx::Result<Vec<SagaRow>> {
    sqlx::query_as(
        "SELECT id, definition, version, state, reason, entries, updated_us FROM saga
         WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2",
    )
    .bind(after)
    .bind(max)
    .fetch_all(connection)
    .await
}

/// Returns due sagas that nobody drives, of the lists in `known` (JSON pairs of name and version).
pub(super) async fn due(
    connection: &mut SqliteConnection,
    known: &str,
    now_us: i64,
    max: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT id FROM saga WHERE wake_us <= ?2 AND lease_us <= ?2
         AND EXISTS (SELECT 1 FROM json_each(?1) AS list WHERE list.value ->> 0 = definition AND list.value ->> 1 = version)
         ORDER BY wake_us LIMIT ?3",
    )
    .bind(known)
    .bind(now_us)
    .bind(max)
    .fetch_all(connection)
    .await
}

/// Returns when the next saga becomes due.
pub(super) async fn next_wake_us(connection: &mut SqliteConnection, now_us: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT min(wake_us) FROM saga WHERE wake_us > ?1").bind(now_us).fetch_one(connection).await
}

/// Takes a due saga's lease. Returns whether it was free.
pub(super) async fn take_lease(
    connection: &mut SqliteConnection,
    id: &str,
    owner: &str,
    now_us: i64,
    until_us: i64,
) -> sqlx::Result<bool> {
    let taken =
        sqlx::query("UPDATE saga SET owner = ?2, lease_us = ?4 WHERE id = ?1 AND wake_us <= ?3 AND lease_us <= ?3")
            .bind(id)
            .bind(owner)
            .bind(now_us)
            .bind(until_us)
            .execute(connection)
            .await?;
    Ok(taken.rows_affected() == 1)
}

/// Moves the end of leases. Returns the owners that still hold theirs.
pub(super) async fn renew_leases(
    connection: &mut SqliteConnection,
    owners: &[String],
    until_us: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("UPDATE saga SET lease_us = ?2 WHERE owner IN (SELECT value FROM json_each(?1)) RETURNING owner")
        .bind(serde_json::Value::from(owners).to_string())
        .bind(until_us)
        .fetch_all(connection)
        .await
}

/// Returns whether a saga is still its owner's.
pub(super) async fn is_owner(connection: &mut SqliteConnection, id: &str, owner: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM saga WHERE id = ?1 AND owner = ?2)")
        .bind(id)
        .bind(owner)
        .fetch_one(connection)
        .await
}

/// Notes how far a saga is.
pub(super) async fn set_state(connection: &mut SqliteConnection, id: &str, state: SagaState) -> sqlx::Result<()> {
    sqlx::query("UPDATE saga SET state = ?2 WHERE id = ?1")
        .bind(id)
        .bind(state_text(state))
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts a saga to rest until `wake_us`, or for ever, and gives its lease back.
pub(super) async fn rest(
    connection: &mut SqliteConnection,
    id: &str,
    state: SagaState,
    reason: Option<&str>,
    wake_us: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE saga SET state = ?2, reason = ?3, wake_us = ?4, owner = NULL, lease_us = 0 WHERE id = ?1")
        .bind(id)
        .bind(state_text(state))
        .bind(reason)
        .bind(wake_us)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns when an engine last said that it runs, and says so again.
pub(super) async fn beat(connection: &mut SqliteConnection, now_us: i64) -> sqlx::Result<i64> {
    let before = sqlx::query_scalar("SELECT alive_us FROM engine").fetch_one(&mut *connection).await?;
    sqlx::query("UPDATE engine SET alive_us = ?1").bind(now_us).execute(connection).await?;
    Ok(before)
}

/// Notes in every open journal that no engine ran for a while.
pub(super) async fn note_idle(connection: &mut SqliteConnection, idle_us: i64, now_us: i64) -> sqlx::Result<()> {
    let rows: Vec<SagaRow> = sqlx::query_as(
        "SELECT id, definition, version, state, reason, entries, updated_us FROM saga WHERE wake_us IS NOT NULL",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        append(connection, &row, now_us, &Fact::Resumed { idle_us }).await?;
    }
    Ok(())
}

/// Removes journals of sagas that ended before `before_us`, and sagas that were never started. What is left of an ended
/// saga, a short row, keeps its id taken.
pub(super) async fn tidy(connection: &mut SqliteConnection, before_us: i64) -> sqlx::Result<()> {
    let still: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM saga WHERE wake_us IS NULL AND entries > 0 AND updated_us < ?1 ORDER BY updated_us LIMIT ?2",
    )
    .bind(before_us)
    .bind(TIDY_SAGAS_MAX)
    .fetch_all(&mut *connection)
    .await?;
    for id in still {
        sqlx::query("DELETE FROM saga_entry WHERE saga = ?1").bind(&id).execute(&mut *connection).await?;
        sqlx::query("DELETE FROM saga WHERE id = ?1 AND state = 'not_started'")
            .bind(&id)
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE saga SET entries = 0 WHERE id = ?1").bind(&id).execute(&mut *connection).await?;
    }
    Ok(())
}
