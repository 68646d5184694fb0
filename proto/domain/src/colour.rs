//! Colour tags of a video track: the code points of ISO/IEC 23091-2, which H.264, FFmpeg and `colr nclx` share.

use serde::{Deserialize, Serialize};

/// How sample values map to light. 2 means "unspecified" in the three code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour {
    /// `ColourPrimaries`, ISO/IEC 23091-2 §8.1.
    pub primaries: u8,
    /// `TransferCharacteristics`, ISO/IEC 23091-2 §8.2.
    pub transfer: u8,
    /// `MatrixCoefficients`, ISO/IEC 23091-2 §8.3.
    pub matrix: u8,
    /// `VideoFullRangeFlag`: luma from 0 to 255 rather than 16 to 235.
    pub full_range: bool,
}

impl Colour {
    /// The tags of a source that carries none.
    pub const UNSPECIFIED: Self = Self { primaries: 2, transfer: 2, matrix: 2, full_range: false };
    /// SMPTE ST 2084 (PQ), the transfer of HDR10.
    pub const TRANSFER_PQ: u8 = 16;
    /// ARIB STD-B67 (HLG).
    pub const TRANSFER_HLG: u8 = 18;

    /// Returns the name of the high-dynamic-range transfer, if the track has one.
    pub fn hdr_name(self) -> Option<&'static str> {
        match self.transfer {
            Self::TRANSFER_PQ => Some("PQ (SMPTE ST 2084)"),
            Self::TRANSFER_HLG => Some("HLG (ARIB STD-B67)"),
            _ => None,
        }
    }

    /// Returns whether the source said anything about its colour.
    pub fn is_specified(self) -> bool {
        self != Self::UNSPECIFIED
    }
}
