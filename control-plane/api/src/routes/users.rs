//! Accounts: one's own, and what an admin changes of others'.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mcsp_domain::{SubscriptionTier, UserId, UserRole};
use mcsp_services::identity::{Account, IdentityError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{Admin, Viewer};
use crate::body::{Body, Segments};
use crate::{Desk, Problem, schema};

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default().routes(routes!(me)).routes(routes!(set_role)).routes(routes!(set_tier))
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct User {
    /// Its id.
    #[schema(schema_with = schema::id)]
    user_id: UserId,
    /// Its address, in lower case.
    email: String,
    /// The name that others see.
    display_name: String,
    /// What it may do.
    #[schema(schema_with = schema::role)]
    role: UserRole,
    /// What it pays for.
    #[schema(schema_with = schema::tier)]
    tier: SubscriptionTier,
    /// When it was made.
    #[schema(schema_with = schema::time_us)]
    created_us: i64,
}

/// The role that an account gets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleChange {
    /// The role.
    #[schema(schema_with = schema::role)]
    role: UserRole,
}

/// The tier that an account gets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TierChange {
    /// The tier.
    #[schema(schema_with = schema::tier)]
    tier: SubscriptionTier,
}

/// Shows the account that is signed in.
#[utoipa::path(
    get, path = "/api/v1/users/me", operation_id = "users_me", tag = "users", security(("bearer" = ["viewer"])),
    responses((status = 200, description = "The account.", body = User)),
)]
async fn me(State(desk): State<Arc<Desk>>, viewer: Viewer) -> Result<Json<User>, Problem> {
    match desk.auth.account(viewer.user).await {
        Ok(account) => Ok(Json(account.into())),
        // The token outlived its account.
        Err(IdentityError::NoAccount { .. }) => Err(Problem::signed_out("the account of this token is gone")),
        Err(error) => Err(error.into()),
    }
}

/// Sets an account's role.
///
/// Access tokens that are about say the old role until they expire, after ten minutes at most.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/role", operation_id = "users_set_role", tag = "users",
    security(("bearer" = ["admin"])), params(("id" = String, Path, description = "The account.", format = "uuid")),
    request_body = RoleChange, responses((status = 200, description = "The account as it is now.", body = User)),
)]
async fn set_role(
    State(desk): State<Arc<Desk>>,
    _admin: Admin,
    Segments(user): Segments<UserId>,
    Body(change): Body<RoleChange>,
) -> Result<Json<User>, Problem> {
    Ok(Json(desk.auth.change(user, Some(change.role), None).await?.into()))
}

/// Sets an account's tier.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/tier", operation_id = "users_set_tier", tag = "users",
    security(("bearer" = ["admin"])), params(("id" = String, Path, description = "The account.", format = "uuid")),
    request_body = TierChange, responses((status = 200, description = "The account as it is now.", body = User)),
)]
async fn set_tier(
    State(desk): State<Arc<Desk>>,
    _admin: Admin,
    Segments(user): Segments<UserId>,
    Body(change): Body<TierChange>,
) -> Result<Json<User>, Problem> {
    Ok(Json(desk.auth.change(user, None, Some(change.tier)).await?.into()))
}

impl From<Account> for User {
    fn from(account: Account) -> Self {
        let Account { id, email, display_name, role, tier, created_us } = account;
        Self { user_id: id, email, display_name, role, tier, created_us }
    }
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        match &error {
            IdentityError::Field { field, .. } => Self::invalid(*field, error.to_string()),
            IdentityError::AddressTaken => Self::conflict("address-taken", error.to_string()),
            IdentityError::WrongPassword | IdentityError::RefreshRefused | IdentityError::RefreshReused => {
                Self::signed_out(error.to_string())
            }
            IdentityError::TooManyTries { retry_after_s } => {
                Self::too_often("too-many-tries", error.to_string(), *retry_after_s)
            }
            IdentityError::NoAccount { .. } => Self::not_found(error.to_string()),
            _ if error.may_pass() => Self::unavailable("identity", &error),
            _ => Self::internal("identity", &error),
        }
    }
}
