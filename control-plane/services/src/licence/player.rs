//! What a player is told: the answers of `Issue`, by what can be done about them.

use mcsp_grpc::licence::v1::IssueRequest;
use tonic::{Code, Status};

use super::LicenceClient;

/// Why a player gets no licence.
#[derive(Debug, thiserror::Error)]
pub enum LicenceRefusal {
    /// The DRM token is damaged or expired: play again.
    #[error("{reason}")]
    Token {
        /// What is wrong with it.
        reason: String,
    },
    /// The licence request cannot be read.
    #[error("{reason}")]
    Challenge {
        /// Why.
        reason: String,
    },
    /// The token is for other keys.
    #[error("{reason}")]
    NotGranted {
        /// Which key is asked for.
        reason: String,
    },
    /// There are no keys any more.
    #[error("{reason}")]
    Revoked {
        /// Of which plan.
        reason: String,
    },
    /// The licence service does not answer now.
    #[error("licence service does not answer: {0}")]
    Unavailable(Box<Status>),
    /// The licence service failed.
    #[error("licence service failed: {0}")]
    Fault(Box<Status>),
}

/// Asks for a ClearKey licence (Encrypted Media Extensions section 9.1) with the token of a playback. Returns its JSON, which
/// is secret.
///
/// # Errors
/// When the token grants no such licence, or the service does not answer.
pub async fn clear_key_licence(
    client: &LicenceClient,
    drm_token: &str,
    challenge: &[u8],
) -> Result<Vec<u8>, LicenceRefusal> {
    let request = IssueRequest::clear_key(drm_token.to_owned(), challenge.to_vec());
    match client.clone().issue(request).await {
        Ok(answer) => Ok(answer.into_inner().into_licence()),
        Err(status) => Err(refusal(status)),
    }
}

fn refusal(status: Status) -> LicenceRefusal {
    let reason = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated => LicenceRefusal::Token { reason },
        Code::InvalidArgument | Code::OutOfRange => LicenceRefusal::Challenge { reason },
        Code::PermissionDenied => LicenceRefusal::NotGranted { reason },
        Code::FailedPrecondition | Code::NotFound => LicenceRefusal::Revoked { reason },
        Code::Internal | Code::DataLoss | Code::Unimplemented => LicenceRefusal::Fault(Box::new(status)),
        _ => LicenceRefusal::Unavailable(Box::new(status)),
    }
}
