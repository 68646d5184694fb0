//! Signing up, in and out, and the public keys of access tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use mcsp_domain::UserRole;
use mcsp_services::identity::{Registration, Tokens};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::users::User;
use crate::auth::Client;
use crate::body::Body;
use crate::{Desk, Problem, schema};

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::default()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(jwks))
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    /// Its address.
    #[schema(
        max_length = 254,
        pattern = "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
    )]
    email: String,
    /// Its password.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 128)]
    password: Zeroizing<String>,
    /// The name that others see.
    #[schema(min_length = 1, max_length = 80, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]+$")]
    display_name: String,
    /// What it may do.
    #[schema(schema_with = schema::new_role)]
    role: UserRole,
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    /// The account's address.
    email: String,
    /// Its password.
    #[schema(value_type = String, format = "password")]
    password: Zeroizing<String>,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// The refresh token of the last answer.
    #[schema(value_type = String)]
    refresh_token: Zeroizing<String>,
}

/// What somebody who signed in holds.
#[derive(Serialize, ToSchema)]
struct TokenAnswer {
    /// For requests: `Authorization: Bearer …`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token is refused.
    expires_in_s: i64,
    /// For the next pair of tokens, once.
    refresh_token: String,
    /// Who signed in.
    user: User,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/api/v1/auth/register", operation_id = "auth_register", tag = "auth", request_body = RegisterRequest,
    responses(
        (status = 201, description = "The account.", body = User),
        (status = 409, description = "The address has an account, or a request with this Idempotency-Key is being answered."),
    ),
)]
async fn register(
    State(desk): State<Arc<Desk>>,
    Body(request): Body<RegisterRequest>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let RegisterRequest { email, password, display_name, role } = request;
    let account = desk.auth.register(Registration { email, password, display_name, role }).await?;
    Ok((StatusCode::CREATED, Json(account.into())))
}

/// Signs in with a password.
///
/// An account may be tried ten times in a quarter of an hour from one network address.
#[utoipa::path(
    post, path = "/api/v1/auth/login", operation_id = "auth_login", tag = "auth", request_body = LoginRequest,
    responses(
        (status = 200, description = "Tokens.", body = TokenAnswer),
        (status = 401, description = "Address or password are wrong; it is not said which."),
    ),
)]
async fn login(
    State(desk): State<Arc<Desk>>,
    client: Client,
    Body(request): Body<LoginRequest>,
) -> Result<Json<TokenAnswer>, Problem> {
    Ok(Json(desk.auth.login(&request.email, request.password, &client.0).await?.into()))
}

/// Gives the next pair of tokens.
///
/// A refresh token works once. One that comes a second time ends its whole sign-in: somebody else has a copy.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", operation_id = "auth_refresh", tag = "auth", request_body = RefreshRequest,
    responses(
        (status = 200, description = "Tokens.", body = TokenAnswer),
        (status = 401, description = "The refresh token is not known, used, expired or revoked."),
    ),
)]
async fn refresh(
    State(desk): State<Arc<Desk>>,
    Body(request): Body<RefreshRequest>,
) -> Result<Json<TokenAnswer>, Problem> {
    Ok(Json(desk.auth.refresh(&request.refresh_token).await?.into()))
}

/// Signs out: ends the sign-in of a refresh token.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", operation_id = "auth_logout", tag = "auth", request_body = RefreshRequest,
    responses((status = 204, description = "The sign-in is ended, or was.")),
)]
async fn logout(State(desk): State<Arc<Desk>>, Body(request): Body<RefreshRequest>) -> Result<StatusCode, Problem> {
    desk.auth.logout(&request.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the public keys of access tokens (RFC 7517).
///
/// A key id that is not among them may be newer than a copy: fetch it again.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "jwks", tag = "auth",
    responses((status = 200, description = "A JSON Web Key Set.", content_type = "application/jwk-set+json", body = Object)),
)]
async fn jwks(State(desk): State<Arc<Desk>>) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, desk.auth.jwks())
}

impl From<Tokens> for TokenAnswer {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access,
            token_type: "Bearer",
            expires_in_s: tokens.expires_in_s,
            refresh_token: tokens.refresh,
            user: tokens.account.into(),
        }
    }
}
