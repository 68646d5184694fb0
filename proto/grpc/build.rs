//! Writes Rust for the contracts in `proto/`, without `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/licence.proto"], ["proto"])?;
    // A derived `Debug` would print the key.
    tonic_prost_build::configure()
        .skip_debug([".mcsp.licence.v1.TrackKey"])
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
