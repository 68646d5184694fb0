//! What differs between engines: opening, beginning a transaction that will write, and reading error codes. All other SQL
//! is one text for SQLite and Postgres: `$1` parameters, TEXT, BIGINT and BYTEA columns, `ON CONFLICT`, `RETURNING`.
//!
//! Claims need no dialect so far: a lease is one conditional upsert, which is atomic on both.

mod search;
mod sqlite;

pub(crate) use search::{SEARCH, SEARCH_DELETE, SEARCH_INSERT, ScalarQuery, search_query};
pub(crate) use sqlite::{Connection, Database, Query, Transaction};
