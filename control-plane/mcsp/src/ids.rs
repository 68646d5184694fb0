//! New ids, from this machine's clock and randomness.

use anyhow::anyhow;

/// Makes an id by its constructor.
///
/// # Errors
/// When the system gives no randomness.
pub(crate) fn random_id<T>(make: impl Fn(u64, &[u8; 10]) -> T) -> anyhow::Result<T> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no randomness for an id: {error}"))?;
    Ok(make(u64::try_from(mcsp_runtime::now_us() / 1000).unwrap_or(0), &random))
}
