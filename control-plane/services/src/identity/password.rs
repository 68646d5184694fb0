//! Passwords: Argon2id hashes, made and checked off the runtime's threads, a bounded number at a time.

use std::sync::Arc;

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use mcsp_catalog::PasswordHash;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{IdentityError, random};

/// Memory, passes and lanes of a hash: the OWASP Password Storage Cheat Sheet's first choice for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes that wait for their turn beyond those in work: some seconds of work; more are refused.
const WAITING_MAX: usize = 64;

/// Makes and checks hashes. Clones share their bounds.
#[derive(Clone)]
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// The hash of a password that nobody knows, so that an unknown address costs what a known one does.
    nobody: Arc<PasswordHash>,
}

impl Passwords {
    /// Takes as many hashes at once as the machine has processors.
    pub(super) fn new() -> Result<Self, IdentityError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody = hash(&hex::encode(random::<32>()?))?;
        Ok(Self {
            running: Arc::new(Semaphore::new(processors)),
            queue: Arc::new(Semaphore::new(processors + WAITING_MAX)),
            nobody: Arc::new(nobody),
        })
    }

    /// Returns the hash of a new password, with a salt of its own.
    pub(super) async fn hash(&self, password: Zeroizing<String>) -> Result<PasswordHash, IdentityError> {
        self.run(move || hash(&password)).await
    }

    /// Tells whether a password is that of a hash; without a hash it takes as long and is not.
    pub(super) async fn verify(
        &self,
        password: Zeroizing<String>,
        known: Option<PasswordHash>,
    ) -> Result<bool, IdentityError> {
        let is_known = known.is_some();
        let against = known.unwrap_or_else(|| PasswordHash::clone(&self.nobody));
        Ok(self.run(move || verify(&password, &against)).await? && is_known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
    ) -> Result<T, IdentityError> {
        let _place = self.queue.try_acquire().map_err(|_| IdentityError::Overloaded)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| IdentityError::Overloaded)?;
        // The turn goes along: a caller who leaves does not end the work, and it must still count.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| IdentityError::Hash { action: "make", why: error.to_string() })?
    }
}

fn argon2() -> Result<Argon2<'static>, IdentityError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| IdentityError::Hash { action: "make", why: error.to_string() })?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str) -> Result<PasswordHash, IdentityError> {
    let fault = |error: password_hash::Error| IdentityError::Hash { action: "make", why: error.to_string() };
    let salt = SaltString::encode_b64(&random::<16>()?).map_err(fault)?;
    let hash = argon2()?.hash_password(password.as_bytes(), &salt).map_err(fault)?;
    Ok(PasswordHash(hash.to_string()))
}

fn verify(password: &str, against: &PasswordHash) -> Result<bool, IdentityError> {
    let fault = |error: password_hash::Error| IdentityError::Hash { action: "read", why: error.to_string() };
    let parsed = password_hash::PasswordHash::new(&against.0).map_err(fault)?;
    match argon2()?.verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::Password) => Ok(false),
        Err(error) => Err(fault(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_hashed_with_the_parameters_of_the_guide_and_a_salt_of_its_own() {
        let passwords = Passwords::new().unwrap();
        let one = passwords.hash(secret("correct horse")).await.unwrap();
        let two = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(one.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.0);
        assert_ne!(one, two);
        assert!(passwords.verify(secret("correct horse"), Some(one.clone())).await.unwrap());
        assert!(!passwords.verify(secret("Correct horse"), Some(one)).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused() {
        let passwords = Passwords::new().unwrap();
        let held = Arc::clone(&passwords.queue)
            .try_acquire_many_owned(u32::try_from(passwords.queue.available_permits()).unwrap());
        assert!(matches!(passwords.hash(secret("correct horse")).await, Err(IdentityError::Overloaded)));
        drop(held);
        passwords.hash(secret("correct horse")).await.unwrap();
    }
}
