//! Making, giving and revoking keys.

use mcsp_catalog::{Catalog, CatalogError, KeyPlan, KeyPlanState, SealedKey};
use mcsp_domain::{ContentKey, KeyId, PlanId, TrackClass, TrackKey};
use zeroize::Zeroizing;

use super::MasterKeys;
use super::seal::{Bound, open, seal};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum LicenceError {
    /// The plan's keys were revoked, for ever.
    #[error("keys of plan {plan} are revoked")]
    Revoked {
        /// The plan.
        plan: PlanId,
    },
    /// The plan's keys protect something else: one key never meets two contents.
    #[error("keys of plan {plan} are bound to another {what}")]
    OtherUse {
        /// The plan.
        plan: PlanId,
        /// Content, scheme or fingerprint.
        what: &'static str,
    },
    /// No such key.
    #[error("no key has the id {kid}")]
    UnknownKey {
        /// The id.
        kid: KeyId,
    },
    /// The plan has no keys.
    #[error("plan {plan} has no keys")]
    NoKeys {
        /// The plan.
        plan: PlanId,
    },
    /// A master key that sealed keys was not given.
    #[error(
        "keys are sealed by master key {id}, which was not given: restore its file, or name it among the older ones"
    )]
    NoMasterKey {
        /// Its id.
        id: String,
    },
    /// A row that does not open: it was changed, or copied from another.
    #[error("key {kid} of plan {plan} does not open: its row was changed")]
    Tampered {
        /// The plan.
        plan: PlanId,
        /// The key's id.
        kid: KeyId,
    },
    /// The operating system gave no randomness.
    #[error("no randomness for a key: {0}")]
    Randomness(getrandom::Error),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The keys of a catalog.
pub(super) struct Vault {
    catalog: Catalog,
    masters: MasterKeys,
}

impl Vault {
    /// Opens the keys of a catalog. Every master key that sealed one must be among `masters`: a service that begins with a
    /// fresh one after its file was lost would make keys on, and hide the loss.
    pub(super) async fn open(catalog: Catalog, masters: MasterKeys) -> Result<Self, LicenceError> {
        for id in catalog.master_ids().await? {
            if masters.find(&id).is_none() {
                return Err(LicenceError::NoMasterKey { id });
            }
        }
        Ok(Self { catalog, masters })
    }

    /// Returns the keys of a plan's classes, and makes those that are missing.
    pub(super) async fn get_or_create(
        &self,
        plan: PlanId,
        key_plan: &KeyPlan,
        classes: &[TrackClass],
    ) -> Result<Vec<(TrackClass, TrackKey)>, LicenceError> {
        let known = match self.catalog.key_plan(plan).await? {
            None => Vec::new(),
            Some(state) => {
                check(plan, &state, Some(key_plan))?;
                self.catalog.content_keys(plan).await?
            }
        };
        let is_complete = classes.iter().all(|class| known.iter().any(|key| key.class == *class));
        let keys = if is_complete { known } else { self.create(plan, key_plan, classes).await? };
        let wanted = keys.iter().filter(|key| classes.contains(&key.class));
        let mut keys = wanted.map(|key| self.unseal(key, key_plan)).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|(class, _)| *class);
        Ok(keys)
    }

    /// Returns one key.
    pub(super) async fn get(&self, kid: KeyId) -> Result<(TrackClass, TrackKey), LicenceError> {
        let sealed = self.catalog.content_key(kid).await?.ok_or(LicenceError::UnknownKey { kid })?;
        let plan = sealed.plan;
        let state = self.catalog.key_plan(plan).await?;
        let state = state.ok_or(LicenceError::Tampered { plan, kid })?;
        check(plan, &state, None)?;
        self.unseal(&sealed, &state.key_plan.ok_or(LicenceError::Tampered { plan, kid })?)
    }

    /// Returns the ids of a plan's keys, in the order of their classes' names.
    pub(super) async fn kids(&self, plan: PlanId) -> Result<Vec<KeyId>, LicenceError> {
        let state = self.catalog.key_plan(plan).await?.ok_or(LicenceError::NoKeys { plan })?;
        check(plan, &state, None)?;
        let keys = self.catalog.content_keys(plan).await?;
        if keys.is_empty() {
            return Err(LicenceError::NoKeys { plan });
        }
        Ok(keys.iter().map(|key| key.kid).collect())
    }

    /// Returns those of a plan's keys that are asked for, in the order asked.
    pub(super) async fn pick(&self, plan: PlanId, kids: &[KeyId]) -> Result<Vec<TrackKey>, LicenceError> {
        let state = self.catalog.key_plan(plan).await?.ok_or(LicenceError::NoKeys { plan })?;
        check(plan, &state, None)?;
        let key_plan = state.key_plan.ok_or(LicenceError::NoKeys { plan })?;
        let sealed = self.catalog.content_keys(plan).await?;
        let mut keys = Vec::new();
        for kid in kids {
            let key = sealed.iter().find(|key| key.kid == *kid).ok_or(LicenceError::UnknownKey { kid: *kid })?;
            keys.push(self.unseal(key, &key_plan)?.1);
        }
        Ok(keys)
    }

    /// Revokes a plan's keys.
    pub(super) async fn revoke(&self, plan: PlanId, now_us: i64) -> Result<(), LicenceError> {
        let mut tx = self.catalog.begin().await?;
        tx.revoke_keys(plan, now_us).await?;
        Ok(tx.commit().await?)
    }

    /// Makes the keys that a plan lacks. Whoever comes first makes them; all others read them.
    async fn create(
        &self,
        plan: PlanId,
        key_plan: &KeyPlan,
        classes: &[TrackClass],
    ) -> Result<Vec<SealedKey>, LicenceError> {
        let mut tx = self.catalog.begin().await?;
        check(plan, &tx.hold_key_plan(plan, key_plan).await?, Some(key_plan))?;
        let known = tx.content_keys(plan).await?;
        for class in classes {
            if !known.iter().any(|key| key.class == *class) {
                tx.add_content_key(&self.make(plan, *class)?).await?;
            }
        }
        let keys = tx.content_keys(plan).await?;
        tx.commit().await?;
        Ok(keys)
    }

    fn make(&self, plan: PlanId, class: TrackClass) -> Result<SealedKey, LicenceError> {
        let (mut kid, mut nonce, mut key) = ([0; 16], [0; 12], Zeroizing::new([0; 16]));
        for bytes in [&mut kid[..], &mut nonce[..], key.as_mut_slice()] {
            getrandom::fill(bytes).map_err(LicenceError::Randomness)?;
        }
        let bound = Bound { plan, class, kid: KeyId::from_bytes(kid) };
        Ok(seal(self.masters.newest(), nonce, bound, &ContentKey::from_bytes(*key)))
    }

    fn unseal(&self, sealed: &SealedKey, key_plan: &KeyPlan) -> Result<(TrackClass, TrackKey), LicenceError> {
        let master = self.masters.find(&sealed.master_id);
        let master = master.ok_or_else(|| LicenceError::NoMasterKey { id: sealed.master_id.clone() })?;
        let tampered = LicenceError::Tampered { plan: sealed.plan, kid: sealed.kid };
        let key = open(master, sealed).ok_or(tampered)?;
        Ok((sealed.class, TrackKey::drawn(sealed.kid, key, &key_plan.fingerprint)))
    }
}

/// Refuses a plan that is revoked, or whose keys protect something else than `wanted`.
fn check(plan: PlanId, state: &KeyPlanState, wanted: Option<&KeyPlan>) -> Result<(), LicenceError> {
    if state.revoked_us.is_some() {
        return Err(LicenceError::Revoked { plan });
    }
    let (Some(bound), Some(wanted)) = (&state.key_plan, wanted) else { return Ok(()) };
    let differs = [
        ("content", bound.content != wanted.content),
        ("scheme", bound.scheme != wanted.scheme),
        ("fingerprint", bound.fingerprint != wanted.fingerprint),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Err(LicenceError::OtherUse { plan, what }),
        None => Ok(()),
    }
}
