//! What can be wrong with boxes: each message names the box, what it claims and what is there.

use super::FourCc;

/// Why bytes are no MP4 file that this packager takes, or why a fragment cannot be written.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum BmffError {
    /// There is nothing to read.
    #[error("file is empty (0 bytes)")]
    Empty,
    /// The bytes do not begin like a file of boxes.
    #[error("no MP4 file: it begins with {begins}, not with a box")]
    NotMp4 {
        /// The first bytes, shown as text.
        begins: FourCc,
    },
    /// A box claims more than its surroundings hold.
    #[error("box {name} at byte {offset} claims {claimed_bytes} bytes, {available_bytes} available")]
    PastEnd {
        /// The box.
        name: FourCc,
        /// Where it begins in the file.
        offset: u64,
        /// Its size field.
        claimed_bytes: u64,
        /// What is left of its parent or of the file.
        available_bytes: u64,
    },
    /// A box claims less than its own header.
    #[error("box {name} at byte {offset} claims {claimed_bytes} bytes, its header alone has {header_bytes}")]
    TooSmall {
        /// The box.
        name: FourCc,
        /// Where it begins in the file.
        offset: u64,
        /// Its size field.
        claimed_bytes: u64,
        /// The bytes of its header.
        header_bytes: u64,
    },
    /// Bytes stand where a box should, but too few for a header.
    #[error("{available_bytes} bytes at byte {offset} are no box header of 8 bytes")]
    Dangling {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        available_bytes: u64,
    },
    /// A box ends in the middle of a field.
    #[error("box {name} at byte {offset} ends early: {needed_bytes} bytes needed, {available_bytes} available")]
    Short {
        /// The box.
        name: FourCc,
        /// Where it begins in the file.
        offset: u64,
        /// Bytes that the next field needs.
        needed_bytes: u64,
        /// Bytes that are left.
        available_bytes: u64,
    },
    /// A count that the box's own bytes cannot hold.
    #[error("box {name} claims {claimed} entries, its payload holds {held}")]
    Count {
        /// The box.
        name: FourCc,
        /// The count field.
        claimed: u64,
        /// The entries that fit.
        held: u64,
    },
    /// A count above a limit of the platform.
    #[error("box {name} claims {claimed} {what}, {allowed} allowed")]
    Limit {
        /// The box.
        name: FourCc,
        /// What is counted.
        what: &'static str,
        /// The count.
        claimed: u64,
        /// The limit.
        allowed: u64,
    },
    /// A box that must be there is not.
    #[error("{parent} has no box {name}")]
    Missing {
        /// The box that lacks it, or the file.
        parent: FourCc,
        /// The box looked for.
        name: FourCc,
    },
    /// A box that may stand once stands twice.
    #[error("{parent} has more than one box {name}")]
    Duplicate {
        /// The box around it, or the file.
        parent: FourCc,
        /// The box.
        name: FourCc,
    },
    /// A codec that is not understood.
    #[error("sample entry {name} is not supported (avc1 and mp4a are)")]
    Codec {
        /// The sample entry.
        name: FourCc,
    },
    /// The input is protected already.
    #[error("sample entry {name}: the track is encrypted already")]
    Encrypted {
        /// The sample entry, `encv` or `enca`.
        name: FourCc,
    },
    /// A box that contradicts itself, another box or what is supported.
    #[error("box {name}: {reason}")]
    Invalid {
        /// The box.
        name: FourCc,
        /// What is wrong, with the values.
        reason: String,
    },
    /// A sample that lies outside the file.
    #[error("sample {index} of track {track_id} lies at bytes {start} to {end}, the file has {file_bytes}")]
    SampleRange {
        /// Its index on the track.
        index: u64,
        /// The track.
        track_id: u32,
        /// Its first byte.
        start: u64,
        /// The byte after its last.
        end: u64,
        /// The length of the file.
        file_bytes: u64,
    },
    /// All samples together are larger than the file: tables that repeat bytes.
    #[error("samples up to number {index} of track {track_id} claim more bytes than the file has ({file_bytes})")]
    SampleBytes {
        /// The sample at which the budget was spent.
        index: u64,
        /// The track.
        track_id: u32,
        /// The length of the file.
        file_bytes: u64,
    },
    /// A value of ours does not fit the field that the format has for it.
    #[error("{field} of {value} does not fit its field in {name}")]
    Field {
        /// The box.
        name: FourCc,
        /// The field.
        field: &'static str,
        /// The value.
        value: i64,
    },
}

impl BmffError {
    /// Shorthand for a contradiction in box `name`.
    pub(crate) fn invalid(name: [u8; 4], reason: impl Into<String>) -> Self {
        Self::Invalid { name: FourCc(name), reason: reason.into() }
    }

    /// Shorthand for a value that does not fit.
    pub(crate) fn field(name: [u8; 4], field: &'static str, value: i64) -> Self {
        Self::Field { name: FourCc(name), field, value }
    }
}
