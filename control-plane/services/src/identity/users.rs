//! The user service, which owns accounts: its gRPC face (`mcsp.user.v1.Users`) and the client of it in this process.

use mcsp_catalog::{Catalog, CatalogError, UserRow};
use mcsp_domain::{SubscriptionTier, UserId, UserRole};
use mcsp_grpc::user::v1::users_client::UsersClient as Generated;
use mcsp_grpc::user::v1::users_server::{Users, UsersServer};
use mcsp_grpc::user::v1::{GetUserRequest, RegisterRequest, UpdateUserRequest, User, VerifyPasswordRequest};
use mcsp_runtime::now_us;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use super::password::Passwords;
use super::{Account, IdentityError, random, rules};
use crate::channel::in_memory;

/// Bytes of one request: an address, a name and a password.
const REQUEST_BYTES_MAX: usize = 8 << 10;

/// The client of the contract, the same in this process and over a network.
pub type UsersClient = Generated<Channel>;

/// The user service. Clones share everything.
#[derive(Clone)]
pub struct UserService {
    catalog: Catalog,
    passwords: Passwords,
}

/// Returns a client of a user service in this process. Must be called inside a runtime.
pub fn users_client(service: UserService) -> UsersClient {
    let router = async move {
        let users = UsersServer::new(service).max_decoding_message_size(REQUEST_BYTES_MAX);
        Server::builder().add_service(users)
    };
    Generated::new(in_memory("users", router)).max_decoding_message_size(REQUEST_BYTES_MAX)
}

impl UserService {
    /// Opens the accounts of a catalog. It makes one hash, which takes some 50 ms.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(catalog: Catalog) -> Result<Self, IdentityError> {
        Ok(Self { catalog, passwords: Passwords::new()? })
    }

    /// Makes sure that an address has an account that may do everything: makes one with the password, or raises the one
    /// that is there and leaves its password. This is the only way to a first admin, and whoever holds the configuration
    /// goes it.
    ///
    /// # Errors
    /// When a field breaks a rule, or the catalog fails.
    pub async fn ensure_admin(&self, email: &str, password: &str) -> Result<Account, IdentityError> {
        let address = rules::email(email)?;
        if let Some(row) = self.catalog.user_of(&address).await? {
            if row.role == UserRole::Admin {
                return Account::read(message(row));
            }
            return Account::read(message(self.change(row.id, Some(UserRole::Admin), None).await?));
        }
        let name = address.split('@').next().unwrap_or_default();
        match self.add(&address, password, name, UserRole::Admin).await {
            // Another process of this platform made it meanwhile.
            Err(IdentityError::AddressTaken) => {}
            added => return Account::read(message(added?)),
        }
        let row = self.catalog.user_of(&address).await?.ok_or(IdentityError::AddressTaken)?;
        Account::read(message(self.change(row.id, Some(UserRole::Admin), None).await?))
    }

    async fn add(
        &self,
        email: &str,
        password: &str,
        display_name: &str,
        role: UserRole,
    ) -> Result<UserRow, IdentityError> {
        let email = rules::email(email)?;
        rules::display_name(display_name)?;
        rules::password(password)?;
        let password = self.passwords.hash(Zeroizing::new(password.to_owned())).await?;
        let created_us = now_us();
        let now_ms = u64::try_from(created_us / 1000).unwrap_or_default();
        let row = UserRow {
            id: UserId::new(now_ms, &random()?),
            email,
            display_name: display_name.to_owned(),
            role,
            tier: SubscriptionTier::Free,
            password,
            created_us,
            updated_us: created_us,
        };
        let mut tx = self.catalog.begin().await?;
        if !tx.insert_user(&row).await? {
            return Err(IdentityError::AddressTaken);
        }
        tx.commit().await?;
        Ok(row)
    }

    async fn check(&self, email: &str, password: String) -> Result<UserRow, IdentityError> {
        let password = Zeroizing::new(password);
        // An address that cannot have an account costs as much as one that has none.
        let row = match rules::email(email) {
            Ok(email) => self.catalog.user_of(&email).await?,
            Err(_) => None,
        };
        let known = row.as_ref().map(|row| row.password.clone());
        if !self.passwords.verify(password, known).await? {
            return Err(IdentityError::WrongPassword);
        }
        row.ok_or(IdentityError::WrongPassword)
    }

    async fn change(
        &self,
        user: UserId,
        role: Option<UserRole>,
        tier: Option<SubscriptionTier>,
    ) -> Result<UserRow, IdentityError> {
        let mut tx = self.catalog.begin().await?;
        let row = tx.update_user(user, role, tier, now_us()).await?.ok_or(IdentityError::NoAccount { user })?;
        tx.commit().await?;
        Ok(row)
    }
}

#[tonic::async_trait]
impl Users for UserService {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<User>, Status> {
        let mut request = request.into_inner();
        let password = Zeroizing::new(std::mem::take(&mut request.password));
        let role = rules::new_role(&request.role).map_err(status)?;
        let row = self.add(&request.email, &password, &request.display_name, role).await.map_err(status)?;
        Ok(Response::new(message(row)))
    }

    async fn verify_password(&self, request: Request<VerifyPasswordRequest>) -> Result<Response<User>, Status> {
        let VerifyPasswordRequest { email, password } = request.into_inner();
        let row = self.check(&email, password).await.map_err(status)?;
        Ok(Response::new(message(row)))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<User>, Status> {
        let user = read_id(&request.into_inner().user_id)?;
        let row = self.catalog.user(user).await.map_err(|error| status(error.into()))?;
        let row = row.ok_or(IdentityError::NoAccount { user }).map_err(status)?;
        Ok(Response::new(message(row)))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Result<Response<User>, Status> {
        let request = request.into_inner();
        let user = read_id(&request.user_id)?;
        let role = request.role.map(|role| role.parse()).transpose();
        let tier = request.tier.map(|tier| tier.parse()).transpose();
        let invalid = |error: mcsp_domain::WordError| Status::invalid_argument(error.to_string());
        let row = self.change(user, role.map_err(invalid)?, tier.map_err(invalid)?).await.map_err(status)?;
        Ok(Response::new(message(row)))
    }
}

fn read_id(text: &str) -> Result<UserId, Status> {
    UserId::parse(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn message(row: UserRow) -> User {
    User {
        user_id: row.id.to_string(),
        email: row.email,
        display_name: row.display_name,
        role: row.role.as_str().to_owned(),
        tier: row.tier.as_str().to_owned(),
        created_us: row.created_us,
    }
}

/// Tells an error by its status. What the caller cannot change is logged here, where it is handled.
#[expect(clippy::needless_pass_by_value, reason = "the end of an error's way, used in map_err")]
fn status(error: IdentityError) -> Status {
    let code = match &error {
        IdentityError::Field { .. } => Code::InvalidArgument,
        IdentityError::AddressTaken => Code::AlreadyExists,
        IdentityError::WrongPassword => Code::Unauthenticated,
        IdentityError::Overloaded => Code::ResourceExhausted,
        IdentityError::NoAccount { .. } => Code::NotFound,
        IdentityError::Catalog(cause) if CatalogError::may_pass(cause) => Code::Unavailable,
        _ => Code::Internal,
    };
    let text = mcsp_runtime::chain(&error);
    if matches!(code, Code::Unavailable | Code::Internal) {
        tracing::error!(error = text, "user service could not answer");
    }
    Status::new(code, text)
}
