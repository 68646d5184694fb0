//! The auth service: access tokens of ten minutes, refresh tokens that are used once. It holds no account: it asks the user
//! service by gRPC.

use std::fmt;
use std::sync::{Arc, RwLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use mcsp_catalog::{Catalog, RefreshUse, SignIn};
use mcsp_domain::{Digest, SubscriptionTier, UserId, UserRole};
use mcsp_grpc::user::v1::{GetUserRequest, RegisterRequest, UpdateUserRequest, User, VerifyPasswordRequest};
use mcsp_runtime::{TtlStore, now_us};
use mcsp_token::{ACCESS_TOKEN_S, AccessClaims, TokenError, ViewerKeys};
use tonic::{Code, Response, Status};
use zeroize::Zeroizing;

use super::tries::Tries;
use super::{Account, IdentityError, TryLimits, UsersClient, random, rules};

/// Characters of a refresh token: 256 random bits as base64url.
pub const REFRESH_TOKEN_CHARS: usize = 43;

/// How long a refresh token waits to be used: 30 days.
const REFRESH_TOKEN_US: i64 = 30 * 24 * 3600 * 1_000_000;
/// How long somebody stays signed in without his password: 90 days.
const SIGN_IN_US: i64 = 90 * 24 * 3600 * 1_000_000;

/// The auth service.
pub struct AuthService {
    users: UsersClient,
    catalog: Catalog,
    tries: Tries,
    keys: RwLock<Arc<ViewerKeys>>,
}

/// A new account. `Debug` does not show the password.
pub struct Registration {
    /// Its address.
    pub email: String,
    /// Its password.
    pub password: Zeroizing<String>,
    /// The name that others see.
    pub display_name: String,
    /// `Viewer` or `Creator`.
    pub role: UserRole,
}

/// What somebody who signed in holds. `Debug` does not show the tokens.
pub struct Tokens {
    /// For requests, as a bearer token.
    pub access: String,
    /// Seconds until `access` is refused.
    pub expires_in_s: i64,
    /// For the next pair of tokens, once.
    pub refresh: String,
    /// Who signed in.
    pub account: Account,
}

impl AuthService {
    /// Puts the service together: the user service, the catalog for refresh tokens, the store for counters of tries, and the
    /// keys that sign.
    pub fn new(
        users: UsersClient,
        catalog: Catalog,
        store: Arc<dyn TtlStore>,
        keys: ViewerKeys,
        limits: TryLimits,
    ) -> Self {
        Self { users, catalog, tries: Tries::new(store, limits), keys: RwLock::new(Arc::new(keys)) }
    }

    /// Signs with other keys from now on, after a rotation.
    pub fn use_keys(&self, keys: ViewerKeys) {
        let mut held = self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = Arc::new(keys);
    }

    /// Returns the public keys as a JSON Web Key Set.
    pub fn jwks(&self) -> String {
        self.keys().jwks()
    }

    /// Reads an access token now.
    ///
    /// # Errors
    /// When it is not one of ours for the API, or its time has passed.
    pub fn verify(&self, token: &str) -> Result<AccessClaims, TokenError> {
        self.keys().verify(token, now_us().div_euclid(1_000_000))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// When a field breaks a rule, the address has an account, or the user service cannot answer.
    pub async fn register(&self, registration: Registration) -> Result<Account, IdentityError> {
        let Registration { email, password, display_name, role } = registration;
        let email = rules::email(&email)?;
        rules::password(&password)?;
        rules::display_name(&display_name)?;
        let role = rules::new_role(role.as_str())?.as_str().to_owned();
        let request = RegisterRequest { email, password: password.as_str().to_owned(), display_name, role };
        read(self.users.clone().register(request).await, None)
    }

    /// Signs somebody in. `client` is the network address from which it is tried.
    ///
    /// # Errors
    /// When address or password are wrong, they were tried too often, or a service cannot answer.
    pub async fn login(&self, email: &str, password: Zeroizing<String>, client: &str) -> Result<Tokens, IdentityError> {
        self.tries.count(email, client).await?;
        let request = VerifyPasswordRequest { email: email.to_owned(), password: password.as_str().to_owned() };
        let account = read(self.users.clone().verify_password(request).await, None)?;
        self.tries.forget(email, client).await?;

        let now_us = now_us();
        let id = hex::encode(random::<16>()?);
        let sign_in = SignIn { id, user: account.id, expires_us: now_us.saturating_add(SIGN_IN_US) };
        let refresh = RefreshToken::new()?;
        let mut tx = self.catalog.begin().await?;
        tx.insert_sign_in(&sign_in).await?;
        tx.insert_refresh_token(&refresh.hash(), &sign_in, now_us.saturating_add(REFRESH_TOKEN_US)).await?;
        tx.commit().await?;
        self.tokens(account, &refresh)
    }

    /// Gives the next pair of tokens for a refresh token, which is used by that. One that had been used ends its sign-in:
    /// two hold it, and one of them stole it.
    ///
    /// # Errors
    /// When the token is not good, or a service cannot answer.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, IdentityError> {
        let hash = RefreshToken::parse(token)?.hash();
        // The account is asked for first: a user service that is away must not cost a token.
        let user = self.catalog.sign_in_user(&hash).await?.ok_or(IdentityError::RefreshRefused)?;
        let account = self.account(user).await?;
        let (now_us, next) = (now_us(), RefreshToken::new()?);
        let mut tx = self.catalog.begin().await?;
        let sign_in = match tx.use_refresh_token(&hash, now_us).await? {
            RefreshUse::Taken(sign_in) => sign_in,
            RefreshUse::Refused => return Err(IdentityError::RefreshRefused),
            RefreshUse::Reused(sign_in) => {
                tx.commit().await?;
                tracing::warn!(user = %sign_in.user, "a refresh token was used twice: its sign-in is ended");
                return Err(IdentityError::RefreshReused);
            }
        };
        tx.insert_refresh_token(&next.hash(), &sign_in, now_us.saturating_add(REFRESH_TOKEN_US)).await?;
        tx.commit().await?;
        self.tokens(account, &next)
    }

    /// Ends the sign-in of a refresh token, used or not; one that is not known is ended already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn logout(&self, token: &str) -> Result<(), IdentityError> {
        let Ok(token) = RefreshToken::parse(token) else { return Ok(()) };
        let mut tx = self.catalog.begin().await?;
        tx.revoke_sign_in_of(&token.hash(), now_us()).await?;
        Ok(tx.commit().await?)
    }

    /// Returns an account.
    ///
    /// # Errors
    /// When there is none, or the user service cannot answer.
    pub async fn account(&self, user: UserId) -> Result<Account, IdentityError> {
        let request = GetUserRequest { user_id: user.to_string() };
        read(self.users.clone().get_user(request).await, Some(user))
    }

    /// Sets an account's role, its tier, or both. Access tokens that are about say the old role until they expire.
    ///
    /// # Errors
    /// When there is no such account, or the user service cannot answer.
    pub async fn change(
        &self,
        user: UserId,
        role: Option<UserRole>,
        tier: Option<SubscriptionTier>,
    ) -> Result<Account, IdentityError> {
        let request = UpdateUserRequest {
            user_id: user.to_string(),
            role: role.map(|role| role.as_str().to_owned()),
            tier: tier.map(|tier| tier.as_str().to_owned()),
        };
        read(self.users.clone().update_user(request).await, Some(user))
    }

    fn tokens(&self, account: Account, refresh: &RefreshToken) -> Result<Tokens, IdentityError> {
        let iat_s = now_us().div_euclid(1_000_000);
        let claims = AccessClaims {
            sub: account.id,
            role: account.role,
            iat_s,
            exp_s: iat_s.saturating_add(ACCESS_TOKEN_S),
            jti: hex::encode(random::<16>()?),
        };
        let access = self.keys().mint(&claims);
        Ok(Tokens { access, expires_in_s: ACCESS_TOKEN_S, refresh: refresh.text(), account })
    }

    fn keys(&self) -> Arc<ViewerKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// 256 random bits.
struct RefreshToken(Zeroizing<[u8; 32]>);

impl RefreshToken {
    fn new() -> Result<Self, IdentityError> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    fn parse(text: &str) -> Result<Self, IdentityError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let read = BASE64.decode_slice(text, bytes.as_mut_slice());
        let is_whole = text.len() == REFRESH_TOKEN_CHARS && read == Ok(32);
        if is_whole { Ok(Self(bytes)) } else { Err(IdentityError::RefreshRefused) }
    }

    fn text(&self) -> String {
        BASE64.encode(self.0.as_slice())
    }

    /// What is stored. A plain digest is enough: nobody guesses 256 random bits.
    fn hash(&self) -> Digest {
        Digest::of(&[b"mcsp refresh token", self.0.as_slice()])
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("email", &self.email).field("role", &self.role).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("account", &self.account).finish_non_exhaustive()
    }
}

fn read(answer: Result<Response<User>, Status>, user: Option<UserId>) -> Result<Account, IdentityError> {
    match answer {
        Ok(answer) => Account::read(answer.into_inner()),
        Err(status) => Err(match (status.code(), user) {
            (Code::AlreadyExists, _) => IdentityError::AddressTaken,
            (Code::Unauthenticated, _) => IdentityError::WrongPassword,
            (Code::ResourceExhausted, _) => IdentityError::Overloaded,
            (Code::NotFound, Some(user)) => IdentityError::NoAccount { user },
            _ => IdentityError::Users(Box::new(status)),
        }),
    }
}
