//! Identity: who has an account (the user service, which owns accounts and passwords) and how somebody stays signed in (the
//! auth service, which mints access tokens, rotates refresh tokens and asks the user service by gRPC).
//!
//! Read in this order: what an account may be called (`rules`), passwords (`password`), the user service (`users`), the file
//! of signing keys (`key_file`), how often somebody may guess (`tries`), the auth service (`auth`).

mod auth;
mod key_file;
mod password;
mod rules;
mod tries;
mod users;

use mcsp_catalog::CatalogError;
use mcsp_domain::{SubscriptionTier, UserId, UserRole};
use mcsp_grpc::user::v1;
use mcsp_runtime::TtlError;
use tonic::Status;

pub use auth::{AuthService, REFRESH_TOKEN_CHARS, Registration, Tokens};
pub use key_file::{ROTATE_AFTER_S, read_or_make_keys, rotate_keys};
pub use rules::{DISPLAY_NAME_CHARS_MAX, EMAIL_BYTES_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
pub use tries::TryLimits;
pub use users::{UserService, UsersClient, users_client};

/// An account, as everybody but the user service sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// The name that others see.
    pub display_name: String,
    /// What it may do.
    pub role: UserRole,
    /// What it pays for.
    pub tier: SubscriptionTier,
    /// When it was made, microseconds since 1970.
    pub created_us: i64,
}

/// Why identity refused, or could not answer. No message holds a password or a token.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A field breaks a rule.
    #[error("{field} {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it should be.
        rule: String,
    },
    /// The address has an account.
    #[error("the address has an account")]
    AddressTaken,
    /// Address or password are wrong.
    #[error("address or password are wrong")]
    WrongPassword,
    /// Too many guesses.
    #[error("too many tries to sign in, the next counts in {retry_after_s} s")]
    TooManyTries {
        /// When it may be tried again.
        retry_after_s: u64,
    },
    /// More passwords wait to be checked than may.
    #[error("too many passwords wait to be checked")]
    Overloaded,
    /// No account has the id.
    #[error("no account has the id {user}")]
    NoAccount {
        /// The id.
        user: UserId,
    },
    /// A refresh token that is unknown, expired or revoked.
    #[error("the refresh token is not known, has expired or was revoked")]
    RefreshRefused,
    /// A refresh token that had been used: all tokens of its sign-in are revoked now.
    #[error("the refresh token had been used before: this sign-in is ended")]
    RefreshReused,
    /// A password could not be hashed, or a stored hash not be read.
    #[error("could not {action} a password hash: {why}")]
    Hash {
        /// `make` or `read`.
        action: &'static str,
        /// Why.
        why: String,
    },
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness(#[source] getrandom::Error),
    /// The catalog failed.
    #[error("catalog")]
    Catalog(#[from] CatalogError),
    /// The counters failed.
    #[error("counters of tries")]
    Tries(#[from] TtlError),
    /// The user service could not answer.
    #[error("user service: {}", .0.message())]
    Users(#[source] Box<Status>),
    /// The user service said what no account is.
    #[error("the user service answered with {what}")]
    Answer {
        /// What was wrong.
        what: String,
    },
    /// The file of signing keys cannot be used.
    #[error("signing keys {path}: {what}")]
    KeyFile {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
        /// Why.
        #[source]
        source: Option<std::io::Error>,
    },
}

impl IdentityError {
    /// Returns whether time may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Catalog(error) => error.may_pass(),
            Self::Users(status) => status.code() == tonic::Code::Unavailable,
            Self::Tries(_) | Self::Overloaded | Self::TooManyTries { .. } => true,
            _ => false,
        }
    }
}

impl Account {
    /// Reads what the user service answered.
    fn read(user: v1::User) -> Result<Self, IdentityError> {
        let fault = |what: String| IdentityError::Answer { what };
        Ok(Self {
            id: UserId::parse(&user.user_id).map_err(|error| fault(error.to_string()))?,
            email: user.email,
            display_name: user.display_name,
            role: user.role.parse().map_err(|error: mcsp_domain::WordError| fault(error.to_string()))?,
            tier: user.tier.parse().map_err(|error: mcsp_domain::WordError| fault(error.to_string()))?,
            created_us: user.created_us,
        })
    }
}

/// Fills an array with random bytes.
fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(IdentityError::Randomness)?;
    Ok(bytes)
}
