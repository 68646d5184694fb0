//! Writes Rust for the contracts in `proto/`, without `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/licence.proto", "proto/user.proto"], ["proto"])?;
    // A derived `Debug` would print the key, the token or the password.
    tonic_prost_build::configure()
        .skip_debug([
            ".mcsp.licence.v1.TrackKey",
            ".mcsp.licence.v1.PreAuthorizeResponse",
            ".mcsp.licence.v1.IssueRequest",
            ".mcsp.licence.v1.IssueResponse",
            ".mcsp.user.v1.RegisterRequest",
            ".mcsp.user.v1.VerifyPasswordRequest",
        ])
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
