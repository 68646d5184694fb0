//! How often somebody may guess a password: counters that expire, per address and network address, and per network address.

use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::Digest;
use mcsp_runtime::TtlStore;

use super::IdentityError;

/// How many tries a window has.
#[derive(Clone, Copy, Debug)]
pub struct TryLimits {
    /// Of one account from one network address.
    pub per_account_max: i64,
    /// Of all accounts from one network address.
    pub per_client_max: i64,
    /// How long a window lasts, from its first try.
    pub window: Duration,
}

impl Default for TryLimits {
    /// Ten for one account and a hundred for one client in a quarter of an hour: people mistype, an office shares an
    /// address, and a guesser gets nowhere (OWASP Authentication Cheat Sheet). An account is never locked for other clients,
    /// or anybody could lock anybody out.
    fn default() -> Self {
        Self { per_account_max: 10, per_client_max: 100, window: Duration::from_secs(900) }
    }
}

/// The counters.
pub(super) struct Tries {
    store: Arc<dyn TtlStore>,
    limits: TryLimits,
}

impl Tries {
    pub(super) fn new(store: Arc<dyn TtlStore>, limits: TryLimits) -> Self {
        Self { store, limits }
    }

    /// Counts a try before it is made.
    pub(super) async fn count(&self, email: &str, client: &str) -> Result<(), IdentityError> {
        let window = self.limits.window;
        let of_account = self.store.add(&account_key(email, client), 1, window).await?;
        let of_client = self.store.add(&client_key(client), 1, window).await?;
        if of_account > self.limits.per_account_max || of_client > self.limits.per_client_max {
            return Err(IdentityError::TooManyTries { retry_after_s: window.as_secs() });
        }
        Ok(())
    }

    /// Forgets the tries of one account from one client, after one that was right.
    pub(super) async fn forget(&self, email: &str, client: &str) -> Result<(), IdentityError> {
        Ok(self.store.delete(&account_key(email, client)).await?)
    }
}

/// Addresses are hashed: they may be long, and stand in no log of the store.
fn account_key(email: &str, client: &str) -> String {
    let digest = Digest::of(&[email.to_ascii_lowercase().as_bytes(), client.as_bytes()]);
    format!("sign-in:account:{digest}")
}

fn client_key(client: &str) -> String {
    format!("sign-in:client:{}", Digest::of(&[client.as_bytes()]))
}
