//! The user service: who has an account, and what they may do.

/// Version 1 of the contract, generated from `proto/user.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated: what is documented in the contract is documented here"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mcsp.user.v1.rs"));
}

// Passwords stand in no log.
impl std::fmt::Debug for v1::RegisterRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisterRequest")
            .field("email", &self.email)
            .field("display_name", &self.display_name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for v1::VerifyPasswordRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyPasswordRequest").field("email", &self.email).finish_non_exhaustive()
    }
}
