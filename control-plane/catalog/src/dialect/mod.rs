//! What differs between engines: opening, beginning a transaction that will write, reading error codes, the index of search,
//! and telling other processes of a commit. All other SQL is one text for SQLite and Postgres (`sql`): `$1` parameters, TEXT,
//! BIGINT and BYTEA columns, `ON CONFLICT`, `RETURNING`.
//!
//! Transactions that write come one after another on both engines, as if each had the catalog for itself: SQLite has one
//! writer, and on Postgres each takes the same advisory lock. Services read, decide and write in one of them, and what they
//! decide must not change beside them. So claims need no dialect: a lease is one conditional upsert, a delivery, a step of a
//! run or a deletion one conditional update, and whoever comes second finds it taken.

mod database;
#[cfg(feature = "postgres")]
mod listen;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_fault;
#[cfg(feature = "postgres")]
mod postgres_search;
mod search;
pub(crate) mod sql;
mod sqlite;
mod sqlite_search;

pub(crate) use database::{Database, Engine, Pool, Transaction};
#[cfg(feature = "scratch")]
pub(crate) use postgres::connect_options;
