//! The gRPC face: reads requests, answers, and tells errors by their status.

use std::sync::Arc;

use mcsp_catalog::{Catalog, KeyPlan};
use mcsp_grpc::licence::WireError;
use mcsp_grpc::licence::v1::licence_server::Licence;
use mcsp_grpc::licence::v1::{
    GetKeyRequest, GetKeyResponse, GetOrCreateKeysRequest, GetOrCreateKeysResponse, RevokeKeysRequest,
    RevokeKeysResponse, TrackKey,
};
use mcsp_runtime::now_us;
use tonic::{Code, Request, Response, Status};

use super::vault::Vault;
use super::{LicenceError, MasterKeys};

/// The licence service. Clones share everything.
#[derive(Clone)]
pub struct LicenceService {
    vault: Arc<Vault>,
}

impl LicenceService {
    /// Opens the keys of a catalog.
    ///
    /// # Errors
    /// When a master key that sealed one of them is not among `masters`, or the catalog fails.
    pub async fn open(catalog: Catalog, masters: MasterKeys) -> Result<Self, LicenceError> {
        Ok(Self { vault: Arc::new(Vault::open(catalog, masters).await?) })
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
        LicenceError::UnknownKey { .. } => Code::NotFound,
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
