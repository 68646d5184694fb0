//! Leases: work that one process at a time may do, until a time that it keeps moving.

use crate::dialect::sql;
use crate::{Catalog, CatalogError};

impl Catalog {
    /// Takes a lease, or renews the one that `owner` holds, until `until_us`. Returns whether `owner` holds it now. A
    /// lease whose time has passed is free. The clocks of the processes must agree better than a lease is long.
    ///
    /// # Errors
    /// When the engine fails; the caller does not hold the lease then.
    pub async fn claim_lease(&self, name: &str, owner: &str, now_us: i64, until_us: i64) -> Result<bool, CatalogError> {
        let sql = "INSERT INTO lease (name, owner, until_us) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_us = excluded.until_us
            WHERE lease.owner = excluded.owner OR lease.until_us <= $4";
        let query = sql::query(sql).bind(name).bind(owner).bind(until_us).bind(now_us);
        let done = query.execute(self.writer()).await.map_err(|source| self.fault("claim a lease", source))?;
        Ok(done.rows_affected() == 1)
    }

    /// Returns who holds a lease and until when, microseconds since 1970; a lease that ran out counts until it is taken.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn lease(&self, name: &str) -> Result<Option<(String, i64)>, CatalogError> {
        sql::query_as("SELECT owner, until_us FROM lease WHERE name = $1")
            .bind(name)
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a lease", source))
    }

    /// Gives a lease back, so that another process need not wait; one that `owner` does not hold stays as it is.
    ///
    /// # Errors
    /// When the engine fails; the lease runs out then.
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<(), CatalogError> {
        sql::query("DELETE FROM lease WHERE name = $1 AND owner = $2")
            .bind(name)
            .bind(owner)
            .execute(self.writer())
            .await
            .map(|_| ())
            .map_err(|source| self.fault("release a lease", source))
    }
}
