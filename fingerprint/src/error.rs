//! Why pictures, sound or stored bytes are refused.

/// Why a fingerprint was not made or read.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// A luma plane is not as long as its sides say.
    #[error("luma plane of {len_bytes} bytes is not {width_px}x{height_px} pixels")]
    Plane {
        /// Bytes given.
        len_bytes: usize,
        /// Width claimed.
        width_px: usize,
        /// Height claimed.
        height_px: usize,
    },
    /// Frames do not come in rising time.
    #[error("frame at {time_ms} ms comes after one at {last_ms} ms")]
    Order {
        /// The frame.
        time_ms: u64,
        /// The one before.
        last_ms: u64,
    },
    /// Stored bytes are not what they claim to be.
    #[error("{what} is broken: {why}")]
    Broken {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Stored bytes are of another version.
    #[error("{what} has version {version}, version {known} is known")]
    Version {
        /// What was read.
        what: &'static str,
        /// Its version.
        version: u32,
        /// Ours.
        known: u32,
    },
    /// More than an index, or a fingerprint, may hold.
    #[error("{what}: {count} are more than {count_max}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// How many there may be.
        count_max: u64,
    },
    /// A reference is in the library twice.
    #[error("reference {reference} is there twice")]
    Twice {
        /// Its id.
        reference: mcsp_domain::ReferenceId,
    },
}

impl FingerprintError {
    pub(crate) fn broken(what: &'static str, why: impl Into<String>) -> Self {
        Self::Broken { what, why: why.into() }
    }

    /// Refuses a count beyond its bound.
    pub(crate) fn bound(what: &'static str, count: usize, count_max: usize) -> Result<(), Self> {
        if count <= count_max {
            return Ok(());
        }
        Err(Self::TooMany { what, count: count as u64, count_max: count_max as u64 })
    }
}
