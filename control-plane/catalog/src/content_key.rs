//! Content keys as they rest: sealed by a master key that this crate never sees, and bound to what they protect.

use mcsp_domain::{ContentId, Digest, KeyId, PlanId, Scheme, TrackClass};

use crate::dialect::sql;
use crate::{Catalog, CatalogError, Tx};

/// What a plan's keys protect. One key never meets two contents: a plan keeps its first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPlan {
    /// The content.
    pub content: ContentId,
    /// The scheme of all renditions.
    pub scheme: Scheme,
    /// The plan's fingerprint, from which IVs are drawn.
    pub fingerprint: Digest,
}

/// What is known of a plan's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPlanState {
    /// What they protect; nothing for a plan that was revoked before it had keys.
    pub key_plan: Option<KeyPlan>,
    /// When they were revoked, microseconds since 1970.
    pub revoked_us: Option<i64>,
}

/// A content key that only its master key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// The plan whose renditions it protects.
    pub plan: PlanId,
    /// Which of them.
    pub class: TrackClass,
    /// Its public id.
    pub kid: KeyId,
    /// The id of the master key that sealed it.
    pub master_id: String,
    /// The nonce of the seal.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub sealed: [u8; 32],
}

impl Catalog {
    /// Returns what is known of a plan's keys.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn key_plan(&self, plan: PlanId) -> Result<Option<KeyPlanState>, CatalogError> {
        let row: Option<StateText> = sql::query_as(STATE)
            .bind(plan.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a plan's keys", source))?;
        row.map(|row| self.read_state(plan, row)).transpose()
    }

    /// Returns the keys of a plan, in the order of their classes' names.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn content_keys(&self, plan: PlanId) -> Result<Vec<SealedKey>, CatalogError> {
        let rows: Vec<KeyText> = sql::query_as(KEYS_OF_PLAN)
            .bind(plan.to_string())
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("read a plan's keys", source))?;
        rows.into_iter().map(|row| self.read_key(row)).collect()
    }

    /// Returns the key of an id.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn content_key(&self, kid: KeyId) -> Result<Option<SealedKey>, CatalogError> {
        let sql = "SELECT plan_id, track_class, key_id, master_id, nonce, sealed FROM content_key WHERE key_id = $1";
        let row: Option<KeyText> = sql::query_as(sql)
            .bind(kid.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a key", source))?;
        row.map(|row| self.read_key(row)).transpose()
    }

    /// Returns the ids of all master keys that sealed a key.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn master_ids(&self) -> Result<Vec<String>, CatalogError> {
        sql::query_scalar("SELECT DISTINCT master_id FROM content_key ORDER BY master_id")
            .fetch_all(self.readers())
            .await
            .map_err(|source| self.fault("list the master keys in use", source))
    }

    fn read_state(&self, plan: PlanId, row: StateText) -> Result<KeyPlanState, CatalogError> {
        let fault = |what: &str| self.damaged(format!("keys of plan {plan}: {what}"));
        let (content, scheme, fingerprint, revoked_us) = row;
        let key_plan = match (content, scheme, fingerprint) {
            (Some(content), Some(scheme), Some(fingerprint)) => Some(KeyPlan {
                content: ContentId::parse(&content).map_err(|error| fault(&error.to_string()))?,
                scheme: Scheme::of_name(&scheme).ok_or_else(|| fault("unknown scheme"))?,
                fingerprint: Digest::from_bytes(
                    fingerprint.try_into().map_err(|_| fault("fingerprint is not 32 bytes"))?,
                ),
            }),
            _ => None,
        };
        Ok(KeyPlanState { key_plan, revoked_us })
    }

    fn read_key(&self, row: KeyText) -> Result<SealedKey, CatalogError> {
        let (plan, class, kid, master_id, nonce, sealed) = row;
        let fault = |what: String| self.damaged(format!("key {kid}: {what}"));
        Ok(SealedKey {
            plan: PlanId::parse(&plan).map_err(|error| fault(error.to_string()))?,
            class: TrackClass::of_name(&class).ok_or_else(|| fault(format!("track class {class:?}")))?,
            kid: KeyId::parse(&kid).map_err(|error| fault(error.to_string()))?,
            master_id,
            nonce: nonce.try_into().map_err(|_| fault("nonce is not 12 bytes".to_owned()))?,
            sealed: sealed.try_into().map_err(|_| fault("sealed key is not 32 bytes".to_owned()))?,
        })
    }
}

impl Tx {
    /// Binds a plan's keys to what they protect, where they are not bound yet, and returns what they are bound to. The
    /// plan stays locked until the transaction ends, so that a revocation cannot slip in.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn hold_key_plan(&mut self, plan: PlanId, key_plan: &KeyPlan) -> Result<KeyPlanState, CatalogError> {
        let sql = "INSERT INTO key_plan (plan_id, content_id, scheme, fingerprint) VALUES ($1, $2, $3, $4)
            ON CONFLICT (plan_id) DO UPDATE SET plan_id = excluded.plan_id
            RETURNING content_id, scheme, fingerprint, revoked_us";
        let query = sql::query_as(sql)
            .bind(plan.to_string())
            .bind(key_plan.content.to_string())
            .bind(key_plan.scheme.to_string())
            .bind(&key_plan.fingerprint.as_bytes()[..]);
        let row: Result<StateText, _> = query.fetch_one(self.connection()?).await;
        let row = row.map_err(|source| self.end("bind a plan's keys", source))?;
        self.catalog().read_state(plan, row)
    }

    /// Adds a key where the plan's class has none; whoever came first stays.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn add_content_key(&mut self, key: &SealedKey) -> Result<(), CatalogError> {
        let sql = "INSERT INTO content_key (plan_id, track_class, key_id, master_id, nonce, sealed)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (plan_id, track_class) DO NOTHING";
        let query = sql::query(sql)
            .bind(key.plan.to_string())
            .bind(key.class.name())
            .bind(key.kid.to_string())
            .bind(&key.master_id)
            .bind(&key.nonce[..])
            .bind(&key.sealed[..]);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("add a key", source))
    }

    /// Returns the keys of a plan as this transaction sees them.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn content_keys(&mut self, plan: PlanId) -> Result<Vec<SealedKey>, CatalogError> {
        let query = sql::query_as(KEYS_OF_PLAN).bind(plan.to_string());
        let rows: Result<Vec<KeyText>, _> = query.fetch_all(self.connection()?).await;
        let rows = rows.map_err(|source| self.end("read a plan's keys", source))?;
        rows.into_iter().map(|row| self.catalog().read_key(row)).collect()
    }

    /// Revokes a plan's keys for ever, whether it has any yet or not; the first time is kept.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn revoke_keys(&mut self, plan: PlanId, now_us: i64) -> Result<(), CatalogError> {
        let sql = "INSERT INTO key_plan (plan_id, revoked_us) VALUES ($1, $2) ON CONFLICT (plan_id)
            DO UPDATE SET revoked_us = COALESCE(key_plan.revoked_us, excluded.revoked_us)";
        let done = sql::query(sql).bind(plan.to_string()).bind(now_us).execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("revoke keys", source))
    }
}

const STATE: &str = "SELECT content_id, scheme, fingerprint, revoked_us FROM key_plan WHERE plan_id = $1";
const KEYS_OF_PLAN: &str = "SELECT plan_id, track_class, key_id, master_id, nonce, sealed FROM content_key
    WHERE plan_id = $1 ORDER BY track_class";

/// Content id, scheme, fingerprint, time of revocation.
type StateText = (Option<String>, Option<String>, Option<Vec<u8>>, Option<i64>);
/// Plan id, track class, key id, master key id, nonce, sealed key.
type KeyText = (String, String, String, String, Vec<u8>, Vec<u8>);
