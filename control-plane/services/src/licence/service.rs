//! The gRPC face: reads requests, answers, and tells errors by their status.

use std::sync::Arc;

use mcsp_catalog::{Catalog, KeyPlan};
use mcsp_grpc::licence::WireError;
use mcsp_grpc::licence::v1::licence_server::Licence;
use mcsp_grpc::licence::v1::{
    DrmSystem, GetKeyRequest, GetKeyResponse, GetOrCreateKeysRequest, GetOrCreateKeysResponse, IssueRequest,
    IssueResponse, PreAuthorizeRequest, PreAuthorizeResponse, RevokeKeysRequest, RevokeKeysResponse, TrackKey,
};
use mcsp_runtime::now_us;
use mcsp_token::{DRM_GRANT_S_MAX, DrmGrant, HmacKeys};
use tonic::{Code, Request, Response, Status};

use super::vault::Vault;
use super::{LicenceError, MasterKeys, clear_key};

/// The licence service. Clones share everything.
#[derive(Clone)]
pub struct LicenceService {
    vault: Arc<Vault>,
    /// What grants are signed with; a service that only gives keys to packagers has none.
    tokens: Option<Arc<HmacKeys>>,
}

impl LicenceService {
    /// Opens the keys of a catalog.
    ///
    /// # Errors
    /// When a master key that sealed one of them is not among `masters`, or the catalog fails.
    pub async fn open(catalog: Catalog, masters: MasterKeys) -> Result<Self, LicenceError> {
        Ok(Self { vault: Arc::new(Vault::open(catalog, masters).await?), tokens: None })
    }

    /// Returns the service with the keys that its grants are signed with: it answers players too.
    #[must_use]
    pub fn with_tokens(self, tokens: HmacKeys) -> Self {
        Self { tokens: Some(Arc::new(tokens)), ..self }
    }

    fn tokens(&self) -> Result<&HmacKeys, Status> {
        let none = || Status::unimplemented("this licence service was given no token keys: it grants nothing");
        self.tokens.as_deref().ok_or_else(none)
    }
}

#[tonic::async_trait]
impl Licence for LicenceService {
    async fn get_or_create_keys(
        &self,
        request: Request<GetOrCreateKeysRequest>,
    ) -> Result<Response<GetOrCreateKeysResponse>, Status> {
        let request = request.into_inner();
        let (plan, key_plan, classes) = read(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let keys = self.vault.get_or_create(plan, &key_plan, &classes).await.map_err(status)?;
        let keys = keys.iter().map(|(class, key)| TrackKey::of(*class, key)).collect();
        Ok(Response::new(GetOrCreateKeysResponse { keys }))
    }

    async fn get_key(&self, request: Request<GetKeyRequest>) -> Result<Response<GetKeyResponse>, Status> {
        let kid = request.into_inner().kid().map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (class, key) = self.vault.get(kid).await.map_err(status)?;
        Ok(Response::new(GetKeyResponse { key: Some(TrackKey::of(class, &key)) }))
    }

    async fn revoke_keys(&self, request: Request<RevokeKeysRequest>) -> Result<Response<RevokeKeysResponse>, Status> {
        let plan = request.into_inner().plan().map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.vault.revoke(plan, now_us()).await.map_err(status)?;
        Ok(Response::new(RevokeKeysResponse {}))
    }

    async fn pre_authorize(
        &self,
        request: Request<PreAuthorizeRequest>,
    ) -> Result<Response<PreAuthorizeResponse>, Status> {
        let request = request.into_inner();
        let tokens = self.tokens()?;
        let (plan, user, playback) = request.ids().map_err(|error| Status::invalid_argument(error.to_string()))?;
        if request.ttl_s == 0 {
            return Err(Status::invalid_argument("field ttl_s is 0, expected at least 1"));
        }
        let kids = self.vault.kids(plan).await.map_err(status)?;
        let mut jti = [0; 16];
        getrandom::fill(&mut jti).map_err(|error| status(LicenceError::Randomness(error)))?;
        let exp_s = now_s() + i64::from(request.ttl_s.min(DRM_GRANT_S_MAX));
        let token = DrmGrant { user, plan, playback, kids: kids.clone(), exp_s, jti }.mint(tokens);
        Ok(Response::new(PreAuthorizeResponse::of(token, &kids)))
    }

    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueResponse>, Status> {
        let request = request.into_inner();
        let tokens = self.tokens()?;
        if request.system() != DrmSystem::ClearKey {
            return Err(Status::unimplemented(format!("no licence server of DRM system {} is known", request.system)));
        }
        let grant = DrmGrant::verify(tokens, &request.drm_token, now_s());
        let grant = grant.map_err(|error| Status::unauthenticated(error.to_string()))?;
        let kids = clear_key::read(&request.challenge);
        let kids = kids.map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(kid) = kids.iter().find(|kid| !grant.kids.contains(kid)) {
            return Err(Status::permission_denied(format!("the token does not grant key {kid}")));
        }
        // The plan is looked at again: a grant dies with the keys that it is for.
        let keys = self.vault.pick(grant.plan, &kids).await.map_err(status)?;
        tracing::debug!(user = %grant.user, playback = %grant.playback, plan = %grant.plan, "licence issued");
        Ok(Response::new(IssueResponse { licence: clear_key::write(&keys) }))
    }
}

fn now_s() -> i64 {
    now_us().div_euclid(1_000_000)
}

type KeysWanted = (mcsp_domain::PlanId, KeyPlan, Vec<mcsp_domain::TrackClass>);

fn read(request: &GetOrCreateKeysRequest) -> Result<KeysWanted, WireError> {
    let key_plan =
        KeyPlan { content: request.content()?, scheme: request.domain_scheme()?, fingerprint: request.fingerprint()? };
    Ok((request.plan()?, key_plan, request.classes()?))
}

/// Tells an error by its status. What the caller cannot change is logged here, where it is handled.
#[expect(clippy::needless_pass_by_value, reason = "the end of an error's way, used in map_err")]
fn status(error: LicenceError) -> Status {
    let code = match &error {
        LicenceError::Revoked { .. } | LicenceError::OtherUse { .. } => Code::FailedPrecondition,
        LicenceError::UnknownKey { .. } | LicenceError::NoKeys { .. } => Code::NotFound,
        LicenceError::Tampered { .. } => Code::DataLoss,
        LicenceError::Catalog(cause) if cause.may_pass() => Code::Unavailable,
        LicenceError::NoMasterKey { .. } | LicenceError::Randomness(_) | LicenceError::Catalog(_) => Code::Internal,
    };
    let text = mcsp_runtime::chain(&error);
    if matches!(code, Code::DataLoss | Code::Unavailable | Code::Internal) {
        tracing::error!(error = text, "licence service could not answer");
    }
    Status::new(code, text)
}
