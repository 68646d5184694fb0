//! Accounts, and the lines of refresh tokens by which they stay signed in. Passwords rest as Argon2id hashes and tokens as
//! digests: this crate never sees either in the clear.

use std::fmt;

use mcsp_domain::{Digest, SubscriptionTier, UserId, UserRole};

use crate::dialect::sql;
use crate::{Catalog, CatalogError, Tx};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Its id.
    pub id: UserId,
    /// Its address, in lower case; no two accounts share one.
    pub email: String,
    /// The name that others see.
    pub display_name: String,
    /// What it may do.
    pub role: UserRole,
    /// What it pays for.
    pub tier: SubscriptionTier,
    /// The hash of its password.
    pub password: PasswordHash,
    /// When it was made, microseconds since 1970.
    pub created_us: i64,
    /// When it was last changed.
    pub updated_us: i64,
}

/// The PHC text of a password's hash. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// One sign-in on one device, as its tokens are bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user: UserId,
    /// When it ends whatever happens, microseconds since 1970.
    pub expires_us: i64,
}

/// What a refresh token turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshUse {
    /// Good; it is used now.
    Taken(SignIn),
    /// It had been used before: somebody else has a copy. Its line is revoked by the same transaction.
    Reused(SignIn),
    /// Unknown, expired, or its line is revoked.
    Refused,
}

impl Catalog {
    /// Returns an account.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn user(&self, id: UserId) -> Result<Option<UserRow>, CatalogError> {
        let row: Option<UserText> = sql::query_as(BY_ID)
            .bind(id.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault(READ, source))?;
        row.map(|row| self.read_user(row)).transpose()
    }

    /// Returns the account of an address in lower case.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn user_of(&self, email: &str) -> Result<Option<UserRow>, CatalogError> {
        let row: Option<UserText> = sql::query_as(BY_EMAIL)
            .bind(email)
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault(READ, source))?;
        row.map(|row| self.read_user(row)).transpose()
    }

    /// Returns whose line a refresh token belongs to, used or not.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn sign_in_user(&self, hash: &Digest) -> Result<Option<UserId>, CatalogError> {
        let sql = "SELECT s.account_id FROM refresh_token t JOIN sign_in s ON s.id = t.sign_in_id WHERE t.hash = $1";
        let user: Option<String> = sql::query_scalar(sql)
            .bind(hash.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(|source| self.fault("read a sign-in", source))?;
        let read = |text: String| UserId::parse(&text).map_err(|error| self.damaged(format!("sign-in: {error}")));
        user.map(read).transpose()
    }

    /// Forgets sign-ins that ended before a time, with their tokens. Returns how many.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn sweep_sign_ins(&self, before_us: i64) -> Result<u64, CatalogError> {
        const ACTION: &str = "sweep ended sign-ins";
        let mut tx = self.begin().await?;
        let tokens = "DELETE FROM refresh_token WHERE sign_in_id IN (SELECT id FROM sign_in WHERE expires_us < $1)";
        let done = sql::query(tokens).bind(before_us).execute(tx.connection()?).await;
        done.map_err(|source| tx.end(ACTION, source))?;
        let done = sql::query("DELETE FROM sign_in WHERE expires_us < $1").bind(before_us).execute(tx.connection()?);
        let swept = done.await.map_err(|source| tx.end(ACTION, source))?.rows_affected();
        tx.commit().await?;
        Ok(swept)
    }

    fn read_user(&self, row: UserText) -> Result<UserRow, CatalogError> {
        let (id, email, display_name, role, tier, password, created_us, updated_us) = row;
        let fault = |what: String| self.damaged(format!("account {id}: {what}"));
        Ok(UserRow {
            role: role.parse().map_err(|error: mcsp_domain::WordError| fault(error.to_string()))?,
            tier: tier.parse().map_err(|error: mcsp_domain::WordError| fault(error.to_string()))?,
            id: UserId::parse(&id).map_err(|error| fault(error.to_string()))?,
            email,
            display_name,
            password: PasswordHash(password),
            created_us,
            updated_us,
        })
    }
}

impl Tx {
    /// Adds an account. Returns false when its address has one.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn insert_user(&mut self, user: &UserRow) -> Result<bool, CatalogError> {
        let sql = "INSERT INTO account (id, email, display_name, role, tier, password, created_us, updated_us)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (email) DO NOTHING";
        let query = sql::query(sql)
            .bind(user.id.to_string())
            .bind(&user.email)
            .bind(&user.display_name)
            .bind(user.role.as_str())
            .bind(user.tier.as_str())
            .bind(&user.password.0)
            .bind(user.created_us)
            .bind(user.updated_us);
        let done = query.execute(self.connection()?).await;
        Ok(done.map_err(|source| self.end("add an account", source))?.rows_affected() == 1)
    }

    /// Sets an account's role, its tier, or both, and returns the account; none when there is no such one.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn update_user(
        &mut self,
        id: UserId,
        role: Option<UserRole>,
        tier: Option<SubscriptionTier>,
        now_us: i64,
    ) -> Result<Option<UserRow>, CatalogError> {
        let sql =
            "UPDATE account SET role = COALESCE($2, role), tier = COALESCE($3, tier), updated_us = $4 WHERE id = $1
            RETURNING id, email, display_name, role, tier, password, created_us, updated_us";
        let query = sql::query_as(sql)
            .bind(id.to_string())
            .bind(role.map(UserRole::as_str))
            .bind(tier.map(SubscriptionTier::as_str))
            .bind(now_us);
        let row: Result<Option<UserText>, _> = query.fetch_optional(self.connection()?).await;
        let row = row.map_err(|source| self.end("change an account", source))?;
        row.map(|row| self.catalog().read_user(row)).transpose()
    }

    /// Begins a line of refresh tokens.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn insert_sign_in(&mut self, sign_in: &SignIn) -> Result<(), CatalogError> {
        let sql = "INSERT INTO sign_in (id, account_id, expires_us) VALUES ($1, $2, $3)";
        let query = sql::query(sql).bind(&sign_in.id).bind(sign_in.user.to_string()).bind(sign_in.expires_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("begin a sign-in", source))
    }

    /// Adds a refresh token to its line. `hash` is the digest of the token's bytes.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn insert_refresh_token(
        &mut self,
        hash: &Digest,
        sign_in: &SignIn,
        expires_us: i64,
    ) -> Result<(), CatalogError> {
        let sql = "INSERT INTO refresh_token (hash, sign_in_id, expires_us) VALUES ($1, $2, $3)";
        let query = sql::query(sql).bind(hash.to_string()).bind(&sign_in.id).bind(expires_us);
        let done = query.execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("add a refresh token", source))
    }

    /// Uses a refresh token. A second use revokes its line; the caller must commit that, too.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn use_refresh_token(&mut self, hash: &Digest, now_us: i64) -> Result<RefreshUse, CatalogError> {
        const ACTION: &str = "use a refresh token";
        let sql = "SELECT s.id, s.account_id, s.expires_us, s.revoked_us, t.expires_us, t.used_us
            FROM refresh_token t JOIN sign_in s ON s.id = t.sign_in_id WHERE t.hash = $1";
        let row = sql::query_as(sql).bind(hash.to_string()).fetch_optional(self.connection()?).await;
        let row: Option<TokenText> = row.map_err(|source| self.end(ACTION, source))?;
        let Some((id, user, ends_us, revoked_us, expires_us, used_us)) = row else { return Ok(RefreshUse::Refused) };
        let user = UserId::parse(&user).map_err(|error| self.catalog().damaged(format!("sign-in {id}: {error}")))?;
        let sign_in = SignIn { id, user, expires_us: ends_us };
        if used_us.is_some() {
            self.revoke_sign_in(&sign_in.id, now_us).await?;
            return Ok(RefreshUse::Reused(sign_in));
        }
        if revoked_us.is_some() || now_us >= expires_us.min(ends_us) {
            return Ok(RefreshUse::Refused);
        }
        let sql = "UPDATE refresh_token SET used_us = $2 WHERE hash = $1";
        let done = sql::query(sql).bind(hash.to_string()).bind(now_us).execute(self.connection()?).await;
        done.map_err(|source| self.end(ACTION, source))?;
        Ok(RefreshUse::Taken(sign_in))
    }

    /// Revokes the line of a refresh token, used or not. Returns false when no line has it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn revoke_sign_in_of(&mut self, hash: &Digest, now_us: i64) -> Result<bool, CatalogError> {
        let sql = "SELECT sign_in_id FROM refresh_token WHERE hash = $1";
        let id = sql::query_scalar(sql).bind(hash.to_string()).fetch_optional(self.connection()?).await;
        let id: Option<String> = id.map_err(|source| self.end("end a sign-in", source))?;
        let Some(id) = id else { return Ok(false) };
        self.revoke_sign_in(&id, now_us).await?;
        Ok(true)
    }

    async fn revoke_sign_in(&mut self, id: &str, now_us: i64) -> Result<(), CatalogError> {
        let sql = "UPDATE sign_in SET revoked_us = COALESCE(revoked_us, $2) WHERE id = $1";
        let done = sql::query(sql).bind(id).bind(now_us).execute(self.connection()?).await;
        done.map(|_| ()).map_err(|source| self.end("end a sign-in", source))
    }
}

const READ: &str = "read an account";
const BY_ID: &str = "SELECT id, email, display_name, role, tier, password, created_us, updated_us
    FROM account WHERE id = $1";
const BY_EMAIL: &str = "SELECT id, email, display_name, role, tier, password, created_us, updated_us
    FROM account WHERE email = $1";

/// Id, address, name, role, tier, password hash, made, changed.
type UserText = (String, String, String, String, String, String, i64, i64);
/// Line, account, end of the line, its revocation, end of the token, its use.
type TokenText = (String, String, i64, Option<i64>, i64, Option<i64>);
