//! What a track is, apart from its samples: the values of its sample entry (ISO/IEC 14496-12 §8.5.2, 14496-15 §5.4).

use mcsp_domain::{Colour, TrackClass};

/// A track's configuration: what `moov` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackConfig {
    /// Ticks per second of all its times (`mdhd`).
    pub timescale: u32,
    /// ISO 639-2/T, three lowercase letters, `und` when unknown.
    pub language: String,
    /// The media time at which presentation starts, from the one edit list entry: the encoder delay of audio in ticks,
    /// 0 for no edit list (video has none, brand `cmf2`).
    pub edit_media_time: i64,
    /// The codec's part.
    pub media: MediaConfig,
}

/// The sample entry of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaConfig {
    /// H.264 as `avc1`: parameter sets in the sample entry.
    Avc(AvcConfig),
    /// AAC as `mp4a` with object type 0x40.
    Aac(AacConfig),
}

/// An H.264 sample entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// Picture width after cropping.
    pub width_px: u16,
    /// Picture height after cropping.
    pub height_px: u16,
    /// Tags for `colr nclx`; written when they say anything.
    pub colour: Colour,
    /// `AVCDecoderConfigurationRecord`, ISO/IEC 14496-15 §5.3.3.1: the payload of `avcC`.
    pub decoder_config: Vec<u8>,
}

/// An AAC sample entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u16,
    /// `AudioSpecificConfig`, ISO/IEC 14496-3 §1.6.2.1.
    pub audio_specific_config: Vec<u8>,
}

impl MediaConfig {
    /// Returns the `codecs` parameter of RFC 6381: `avc1.640028` or `mp4a.40.2`.
    pub fn codec_string(&self) -> String {
        match self {
            Self::Avc(avc) => {
                let byte = |index: usize| avc.decoder_config.get(index).copied().unwrap_or_default();
                format!("avc1.{:02x}{:02x}{:02x}", byte(1), byte(2), byte(3))
            }
            Self::Aac(aac) => {
                let first = aac.audio_specific_config.first().copied().unwrap_or_default();
                let second = aac.audio_specific_config.get(1).copied().unwrap_or_default();
                let object_type = match first >> 3 {
                    31 => 32 + ((u32::from(first & 7) << 3) | u32::from(second >> 5)),
                    plain => plain.into(),
                };
                format!("mp4a.40.{object_type}")
            }
        }
    }

    /// Returns the class whose key protects the track.
    pub fn track_class(&self) -> TrackClass {
        match self {
            Self::Avc(avc) => TrackClass::of_video(avc.width_px.into(), avc.height_px.into()),
            Self::Aac(_) => TrackClass::Audio,
        }
    }

    /// Returns whether the track holds pictures.
    pub fn is_video(&self) -> bool {
        matches!(self, Self::Avc(_))
    }
}
