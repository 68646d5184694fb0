//! Common Encryption, ISO/IEC 23001-7: which bytes of a sample are protected (`layout`, for H.264 down to the last bit of
//! the slice header), how they are sealed (`seal`) and opened again by a second code path (`open`). In: samples, keys and
//! IVs. Out: the same samples in place, and the subsample entries of `senc`.

mod avc;
mod bits;
mod layout;
mod open;
mod parameter_sets;
pub mod pssh;
mod seal;
mod slice_header;

pub use avc::AvcLayout;
pub use layout::SampleLayout;
pub use open::Opener;
pub use seal::Sealer;

/// Bytes of one AES block.
const BLOCK_BYTES: usize = 16;
/// Every tenth block of protected video is encrypted: the pattern 1:9 of `cbcs`, §10.4.
const PATTERN_BYTES: usize = 10 * BLOCK_BYTES;

/// One entry of `senc`, §7.2: a clear run, then a protected run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subsample {
    /// `BytesOfClearData`.
    pub clear_bytes: u16,
    /// `BytesOfProtectedData`.
    pub protected_bytes: u32,
}

/// Why a track or a sample could not be sealed or opened.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum CencError {
    /// The decoder configuration record is not one that we can read.
    #[error("avcC of {len_bytes} bytes: {fault}")]
    DecoderConfig {
        /// Its length.
        len_bytes: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A parameter set is cut short or holds what no H.264 decoder takes.
    #[error("{what} at byte {at_byte}: {fault}")]
    Bitstream {
        /// The structure that was read.
        what: &'static str,
        /// How many bytes of it were read.
        at_byte: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// A slice or a picture parameter set names a set that the sample entry lacks.
    #[error("{what} names {kind} {id}, which avcC lacks")]
    UnknownParameterSet {
        /// Which structure names it.
        what: &'static str,
        /// `SPS` or `PPS`.
        kind: &'static str,
        /// The id named.
        id: u32,
    },
    /// The sample carries a parameter set that the sample entry does not hold, against `avc1`.
    #[error("sample carries a parameter set (nal unit type {nal_unit_type}) that differs from avcC")]
    InBandParameterSet {
        /// 7 or 8.
        nal_unit_type: u8,
    },
    /// A coded slice of a kind that we cannot protect, so we do not let it pass in the clear.
    #[error("nal unit type {nal_unit_type} holds pictures in a form that is not supported")]
    UnsupportedNal {
        /// Its type.
        nal_unit_type: u8,
    },
    /// A length field passes the end of the sample.
    #[error("nal unit at byte {at_byte} claims {claimed_bytes} bytes, {left_bytes} are left in the sample")]
    NalPastEnd {
        /// Where the length field stands.
        at_byte: usize,
        /// What it says.
        claimed_bytes: u64,
        /// What is there.
        left_bytes: usize,
    },
    /// More subsamples than any encoder makes.
    #[error("sample has more than {max} subsamples")]
    TooManySubsamples {
        /// The limit.
        max: usize,
    },
    /// A protected run that its 32 bits cannot hold.
    #[error("a protected run of {protected_bytes} bytes does not fit its field")]
    SubsampleTooLarge {
        /// Its length.
        protected_bytes: usize,
    },
    /// The entries of `senc` do not add up to the sample.
    #[error("subsamples cover {covered_bytes} bytes, the sample has {sample_bytes}")]
    SubsampleMismatch {
        /// What the entries add up to.
        covered_bytes: u64,
        /// What is there.
        sample_bytes: u64,
    },
}

/// Returns the IV of one sample under `cenc`: the plan's base, plus where the sample lies. Renditions share a key, and no
/// two samples of a plan share a place, so that no two counters meet.
pub fn sample_iv(base: [u8; 8], rendition: u16, chunk: u16, sample: u32) -> [u8; 8] {
    let place = (u64::from(rendition) << 48) | (u64::from(chunk) << 32) | u64::from(sample);
    u64::from_be_bytes(base).wrapping_add(place).to_be_bytes()
}
