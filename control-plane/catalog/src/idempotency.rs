//! Answers kept for requests that come again under one Idempotency-Key. What identifies a request and what was answered are
//! digests and ciphertext here: the service that keeps them (`services::idempotency`) makes them with the client's key.

use mcsp_domain::Digest;

use crate::dialect::sql;
use crate::{Catalog, CatalogError, Tx};

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerState {
    /// Nothing, or its claim has run out: it is the caller's now.
    Claimed,
    /// Another call is answering it.
    InFlight,
    /// The key stood on a request with another body.
    OtherRequest,
    /// It was answered.
    Answered {
        /// The status of the answer.
        status: u16,
        /// Its headers and body, sealed.
        sealed: Vec<u8>,
    },
}

impl Tx {
    /// Claims a request until a time, under a name that no other call has, or tells what is known of it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn claim_answer(
        &mut self,
        id: &Digest,
        fingerprint: &Digest,
        claim: &str,
        now_us: i64,
        until_us: i64,
    ) -> Result<AnswerState, CatalogError> {
        const ACTION: &str = "claim a request";
        let sql = "SELECT fingerprint, until_us, status, sealed FROM answer WHERE id = $1";
        let row = sql::query_as(sql).bind(id.to_string()).fetch_optional(self.connection()?).await;
        let row: Option<AnswerText> = row.map_err(|source| self.end(ACTION, source))?;
        if let Some((known, until, status, sealed)) = row
            && now_us < until
        {
            if known != fingerprint.to_string() {
                return Ok(AnswerState::OtherRequest);
            }
            let answered = status.and_then(|status| u16::try_from(status).ok()).zip(sealed);
            return Ok(
                answered.map_or(AnswerState::InFlight, |(status, sealed)| AnswerState::Answered { status, sealed })
            );
        }
        let sql = "INSERT INTO answer (id, fingerprint, claim, until_us) VALUES ($1, $2, $3, $4)
            ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, claim = excluded.claim,
            until_us = excluded.until_us, status = NULL, sealed = NULL";
        let query = sql::query(sql).bind(id.to_string()).bind(fingerprint.to_string()).bind(claim).bind(until_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| AnswerState::Claimed).map_err(|source| self.end(ACTION, source))
    }
}

impl Catalog {
    /// Keeps the answer to a claimed request until a time. A claim that has run out and was taken by another call keeps
    /// that one's.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn keep_answer(
        &self,
        id: &Digest,
        claim: &str,
        status: u16,
        sealed: &[u8],
        until_us: i64,
    ) -> Result<(), CatalogError> {
        let sql = "UPDATE answer SET status = $3, sealed = $4, until_us = $5 WHERE id = $1 AND claim = $2";
        let query =
            sql::query(sql).bind(id.to_string()).bind(claim).bind(i64::from(status)).bind(sealed).bind(until_us);
        let done = query.execute(self.writer()).await;
        done.map(|_| ()).map_err(|source| self.fault("keep an answer", source))
    }

    /// Gives a claim back: the request may come again as a new one.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn drop_answer(&self, id: &Digest, claim: &str) -> Result<(), CatalogError> {
        let sql = "DELETE FROM answer WHERE id = $1 AND claim = $2 AND status IS NULL";
        let done = sql::query(sql).bind(id.to_string()).bind(claim).execute(self.writer()).await;
        done.map(|_| ()).map_err(|source| self.fault("give a request back", source))
    }

    /// Forgets answers and claims that ended before a time. Returns how many.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn sweep_answers(&self, before_us: i64) -> Result<u64, CatalogError> {
        let done = sql::query("DELETE FROM answer WHERE until_us < $1").bind(before_us).execute(self.writer()).await;
        Ok(done.map_err(|source| self.fault("sweep kept answers", source))?.rows_affected())
    }
}

/// Fingerprint, end, status, sealed answer.
type AnswerText = (String, i64, Option<i64>, Option<Vec<u8>>);
