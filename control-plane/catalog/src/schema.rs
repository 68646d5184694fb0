//! The schema and its migrations, embedded in the binary. A migration is never changed once it was released: a new one
//! follows it.

use std::path::Path;

use mcsp_domain::Digest;

use crate::CatalogError;
use crate::dialect::Connection;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// Every migration, in order; the first has version 1.
const MIGRATIONS: [Migration; 6] = [
    Migration { name: "backbone", sql: include_str!("../migrations/0001_backbone.sql") },
    Migration { name: "identity", sql: include_str!("../migrations/0002_identity.sql") },
    Migration { name: "content", sql: include_str!("../migrations/0003_content.sql") },
    Migration {
        name: "moderation",
        sql: concat!(include_str!("../migrations/0004_moderation.sql"), include_str!("dialect/sqlite_search.sql")),
    },
    Migration { name: "playback", sql: include_str!("../migrations/0005_playback.sql") },
    Migration { name: "notify", sql: include_str!("../migrations/0006_notify.sql") },
];

/// Tells whether every migration of ours, and no other, has been applied to a file of ours.
pub(crate) async fn is_current(
    path: &Path,
    connection: &mut Connection,
    fault: impl Fn(sqlx::Error) -> CatalogError,
) -> Result<bool, CatalogError> {
    let applied = applied(connection).await.map_err(fault)?;
    check(path, &applied)?;
    Ok(applied.len() == MIGRATIONS.len())
}

/// Brings the schema up to date, inside the caller's transaction: two programs that start at once migrate once.
pub(crate) async fn migrate(
    path: &Path,
    connection: &mut Connection,
    new_id: &str,
    fault: impl Fn(sqlx::Error) -> CatalogError,
) -> Result<(), CatalogError> {
    let table = "CREATE TABLE IF NOT EXISTS migration
        (version BIGINT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL)";
    sqlx::query(table).execute(&mut *connection).await.map_err(&fault)?;
    let applied = applied(connection).await.map_err(&fault)?;
    check(path, &applied)?;
    for (version, migration) in (1_i64..).zip(&MIGRATIONS).skip(applied.len()) {
        sqlx::raw_sql(migration.sql).execute(&mut *connection).await.map_err(&fault)?;
        sqlx::query("INSERT INTO migration (version, name, digest) VALUES ($1, $2, $3)")
            .bind(version)
            .bind(migration.name)
            .bind(migration.digest())
            .execute(&mut *connection)
            .await
            .map_err(&fault)?;
    }
    sqlx::query("INSERT INTO catalog (singleton, id, outbox_position) VALUES (1, $1, 0) ON CONFLICT DO NOTHING")
        .bind(new_id)
        .execute(connection)
        .await
        .map_err(&fault)?;
    Ok(())
}

/// Returns version, name and digest of every migration that the file has seen.
async fn applied(connection: &mut Connection) -> Result<Vec<(i64, String, String)>, sqlx::Error> {
    sqlx::query_as("SELECT version, name, digest FROM migration ORDER BY version").fetch_all(connection).await
}

/// Refuses a file whose migrations are not a beginning of ours.
fn check(path: &Path, applied: &[(i64, String, String)]) -> Result<(), CatalogError> {
    for (version, row) in (1_i64..).zip(applied) {
        let known = usize::try_from(version - 1).ok().and_then(|index| MIGRATIONS.get(index));
        let Some(known) = known else {
            let found = applied.last().map_or(row.0, |last| last.0);
            let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
            return Err(CatalogError::NewerSchema { path: path.to_owned(), found, known });
        };
        if row.0 != version || row.2 != known.digest() {
            let (path, found, known) = (path.to_owned(), row.1.clone(), known.name.to_owned());
            return Err(CatalogError::OtherMigration { path, version: row.0, found, known });
        }
    }
    Ok(())
}

impl Migration {
    fn digest(&self) -> String {
        Digest::of(&[self.sql.as_bytes()]).to_string()
    }
}
