//! The schema and its migrations, embedded in the binary. A migration is never changed once it was released: a new one
//! follows it.

use mcsp_domain::Digest;

use crate::CatalogError;
use crate::dialect::Engine;
use crate::dialect::sql::{self, Place};

struct Migration {
    name: &'static str,
    sqlite: &'static str,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "for another engine"))]
    postgres: &'static str,
}

/// Reads a migration that is the same text on every engine.
macro_rules! common {
    ($name:literal, $file:literal) => {
        Migration { name: $name, sqlite: include_str!($file), postgres: include_str!($file) }
    };
}

/// Every migration, in order; the first has version 1.
const MIGRATIONS: [Migration; 6] = [
    common!("backbone", "../migrations/0001_backbone.sql"),
    common!("identity", "../migrations/0002_identity.sql"),
    common!("content", "../migrations/0003_content.sql"),
    Migration {
        name: "moderation",
        sqlite: concat!(include_str!("../migrations/0004_moderation.sql"), include_str!("dialect/sqlite_search.sql")),
        postgres: concat!(
            include_str!("../migrations/0004_moderation.sql"),
            include_str!("dialect/postgres_search.sql")
        ),
    },
    common!("playback", "../migrations/0005_playback.sql"),
    common!("notify", "../migrations/0006_notify.sql"),
];

/// Tells whether every migration of ours, and no other, has been applied to a catalog of ours.
pub(crate) async fn is_current(
    at: &str,
    engine: Engine,
    place: Place<'_>,
    fault: impl Fn(sqlx::Error) -> CatalogError,
) -> Result<bool, CatalogError> {
    let applied = applied(place).await.map_err(fault)?;
    check(at, engine, &applied)?;
    Ok(applied.len() == MIGRATIONS.len())
}

/// Brings the schema up to date, inside the caller's transaction: two programs that start at once migrate once.
pub(crate) async fn migrate(
    at: &str,
    engine: Engine,
    mut place: Place<'_>,
    new_id: &str,
    fault: impl Fn(sqlx::Error) -> CatalogError,
) -> Result<(), CatalogError> {
    let table = "CREATE TABLE IF NOT EXISTS migration
        (version BIGINT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL)";
    sql::script(engine.definition(table), place.again()).await.map_err(&fault)?;
    let applied = applied(place.again()).await.map_err(&fault)?;
    check(at, engine, &applied)?;
    for (version, migration) in (1_i64..).zip(&MIGRATIONS).skip(applied.len()) {
        sql::script(engine.definition(migration.sql(engine)), place.again()).await.map_err(&fault)?;
        sql::query("INSERT INTO migration (version, name, digest) VALUES ($1, $2, $3)")
            .bind(version)
            .bind(migration.name)
            .bind(migration.digest(engine))
            .execute(place.again())
            .await
            .map_err(&fault)?;
    }
    sql::query("INSERT INTO catalog (singleton, id, outbox_position) VALUES (1, $1, 0) ON CONFLICT DO NOTHING")
        .bind(new_id)
        .execute(place)
        .await
        .map_err(&fault)?;
    Ok(())
}

/// Returns version, name and digest of every migration that it has seen.
async fn applied(place: Place<'_>) -> Result<Vec<(i64, String, String)>, sqlx::Error> {
    sql::query_as("SELECT version, name, digest FROM migration ORDER BY version").fetch_all(place).await
}

/// Refuses a catalog whose migrations are not a beginning of ours.
fn check(at: &str, engine: Engine, applied: &[(i64, String, String)]) -> Result<(), CatalogError> {
    for (version, row) in (1_i64..).zip(applied) {
        let known = usize::try_from(version - 1).ok().and_then(|index| MIGRATIONS.get(index));
        let Some(known) = known else {
            let found = applied.last().map_or(row.0, |last| last.0);
            let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
            return Err(CatalogError::NewerSchema { at: at.to_owned(), found, known });
        };
        if row.0 != version || row.2 != known.digest(engine) {
            let (at, found, known) = (at.to_owned(), row.1.clone(), known.name.to_owned());
            return Err(CatalogError::OtherMigration { at, version: row.0, found, known });
        }
    }
    Ok(())
}

impl Migration {
    fn sql(&self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            #[cfg(feature = "postgres")]
            Engine::Postgres => self.postgres,
        }
    }

    fn digest(&self, engine: Engine) -> String {
        Digest::of(&[self.sql(engine).as_bytes()]).to_string()
    }
}
