//! The tables of `events.db`: the log's, with the expiring store's beside them, so that one transaction holds both.

use crate::sqlite::Schema;
use crate::ttl::TTL_SCHEMA;

/// The file of the log and of the ledger. The application id reads `MCEV`.
pub(crate) const EVENTS: Schema =
    Schema { application_id: 0x4d43_4556, version: 1, sql: &[TOPICS, RECORDS, GROUPS, TTL_SCHEMA] };

/// Topics with their partitions, and the processes that have the log open.
const TOPICS: &str = "
CREATE TABLE topic (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    durability INTEGER NOT NULL,
    retention_us INTEGER NOT NULL
) STRICT;
CREATE TABLE part (
    topic INTEGER NOT NULL,
    part INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE process (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Records, with topic, partition and offset in one number (`position`), so that a partition lies together and is read in
/// one walk; payloads stand last, so that a walk over times does not touch them. A relay's row is how far it came.
const RECORDS: &str = "
CREATE TABLE record (
    pos INTEGER PRIMARY KEY,
    stored_us INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    id BLOB NOT NULL,
    key TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_id ON record (topic, id);
CREATE TABLE relay (
    source TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Consumer groups. `changes` counts what members must look at again. A `place` is a group's way through one partition:
/// everything below `committed` is settled; its owner alone moves it, under its generation; an heir gets it when the
/// owner's records are back. `settled` holds what was settled ahead of `committed`, `delayed` what was set aside.
const GROUPS: &str = "
CREATE TABLE consumer_group (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    changes INTEGER NOT NULL
) STRICT;
CREATE TABLE member (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    crew INTEGER NOT NULL,
    process TEXT NOT NULL,
    name TEXT NOT NULL,
    lease_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT;
CREATE TABLE member_topic (
    member INTEGER NOT NULL REFERENCES member ON DELETE CASCADE,
    topic INTEGER NOT NULL,
    PRIMARY KEY (member, topic)
) STRICT, WITHOUT ROWID;
CREATE TABLE place (
    crew INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    part INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    owner INTEGER,
    heir INTEGER,
    PRIMARY KEY (crew, topic, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE settled (
    crew INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    part INTEGER NOT NULL,
    off INTEGER NOT NULL,
    PRIMARY KEY (crew, topic, part, off)
) STRICT, WITHOUT ROWID;
CREATE TABLE delayed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    crew INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    part INTEGER NOT NULL,
    off INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    error TEXT NOT NULL,
    key TEXT NOT NULL,
    headers TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX delayed_due ON delayed (crew, topic, part, due_us);
";
