//! The bitrate ladder: what is made of a source. `Ladder::plan` is the only constructor, so that every ladder is
//! non-empty, descending and never larger than its source.

use serde::{Deserialize, Serialize};

use crate::{Probe, RenditionKind, RenditionName, TrackClass, limits};

/// One rung or track of a ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Variant {
    /// A picture size with its quality and rate bound.
    Video(VideoVariant),
    /// A sound rendition.
    Audio(AudioVariant),
}

impl Variant {
    /// Returns the rendition's folder name.
    pub fn name(&self) -> &RenditionName {
        match self {
            Self::Video(video) => &video.name,
            Self::Audio(audio) => &audio.name,
        }
    }

    /// Returns whether it carries pictures or sound.
    pub fn kind(&self) -> RenditionKind {
        match self {
            Self::Video(_) => RenditionKind::Video,
            Self::Audio(_) => RenditionKind::Audio,
        }
    }

    /// Returns the class whose key protects the rendition.
    pub fn track_class(&self) -> TrackClass {
        match self {
            Self::Video(video) => TrackClass::of_video(video.width_px, video.height_px),
            Self::Audio(_) => TrackClass::Audio,
        }
    }
}

/// A video rung: H.264 by capped constant rate factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoVariant {
    /// The rendition's folder name.
    pub name: RenditionName,
    /// Width of the upright picture, even.
    pub width_px: u32,
    /// Height of the upright picture, even.
    pub height_px: u32,
    /// x264's constant rate factor, 0 to 51.
    pub crf: u8,
    /// The VBV rate in kbit/s; the buffer holds two seconds of it.
    pub maxrate_kbps: u32,
}

/// An audio rendition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioVariant {
    /// The rendition's folder name.
    pub name: RenditionName,
    /// The codec.
    pub codec: AudioCodec,
    /// Bits per second in thousands.
    pub bitrate_kbps: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
}

/// Audio codecs that renditions use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// MPEG-4 AAC, low complexity.
    Aac,
}

/// x264's trade of time against bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "x264's own names")]
pub enum Preset {
    Ultrafast,
    Superfast,
    Veryfast,
    Faster,
    Fast,
    #[default]
    Medium,
    Slow,
    Slower,
    Veryslow,
}

impl Preset {
    /// Every preset, fastest first.
    pub const ALL: [Self; 9] = [
        Self::Ultrafast,
        Self::Superfast,
        Self::Veryfast,
        Self::Faster,
        Self::Fast,
        Self::Medium,
        Self::Slow,
        Self::Slower,
        Self::Veryslow,
    ];

    /// Returns x264's name of the preset.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
            Self::Slower => "slower",
            Self::Veryslow => "veryslow",
        }
    }
}

/// A ladder file: the rungs that a user asks for. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LadderFile {
    /// Video rungs; each size is a box that the upright picture is fitted into.
    #[serde(default)]
    pub video: Vec<VideoRung>,
    /// Audio renditions.
    #[serde(default)]
    pub audio: Vec<AudioRung>,
}

/// A video rung of a ladder file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoRung {
    /// Width of the box.
    pub width: u32,
    /// Height of the box.
    pub height: u32,
    /// Constant rate factor.
    pub crf: u8,
    /// VBV rate in kbit/s.
    pub maxrate_kbps: u32,
}

/// An audio rendition of a ladder file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioRung {
    /// The codec.
    pub codec: AudioCodec,
    /// Bit rate.
    pub bitrate_kbps: u32,
    /// Channels.
    pub channels: u8,
}

/// What an operator wants of every ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The rungs, as boxes; for pictures taller than wide the boxes are turned.
    pub rungs: LadderFile,
    /// Whether the rungs are the user's own, which are then never pruned for being close to each other.
    pub explicit: bool,
}

/// Why no ladder could be made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LadderError {
    /// The source has nothing to play.
    #[error("source has neither a video nor an audio track that can be transcoded")]
    NothingToPlay,
    /// The policy leaves nothing for this source.
    #[error("ladder has no entry for the source's {missing}")]
    NoEntry {
        /// `video`, `audio` or `video and audio`.
        missing: &'static str,
    },
    /// A value of the ladder file makes no sense.
    #[error("ladder {entry} {index}: {field} is {value}, {allowed} allowed")]
    Value {
        /// `video` or `audio`.
        entry: &'static str,
        /// The entry's place, from 0.
        index: usize,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The range.
        allowed: &'static str,
    },
    /// Too many entries.
    #[error("ladder has {count} {entry} entries, {max} allowed")]
    TooMany {
        /// `video` or `audio`.
        entry: &'static str,
        /// How many there are.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// The source's picture is too small to encode.
    #[error("source picture of {width_px} x {height_px} pixels is below the 16 x 16 that H.264 encoders take")]
    TooSmall {
        /// Width of the upright picture.
        width_px: u32,
        /// Height of the upright picture.
        height_px: u32,
    },
}

impl Default for Policy {
    /// Rungs of 2160p to 240p: CRF 21 under the rate bounds that research and the peers suite use.
    fn default() -> Self {
        let rung = |width, height, maxrate_kbps| VideoRung { width, height, crf: 21, maxrate_kbps };
        let video = vec![
            rung(3840, 2160, 16_000),
            rung(2560, 1440, 10_000),
            rung(1920, 1080, 6000),
            rung(1280, 720, 3000),
            rung(854, 480, 1500),
            rung(640, 360, 800),
            rung(426, 240, 400),
        ];
        let audio = vec![AudioRung { codec: AudioCodec::Aac, bitrate_kbps: 128, channels: 2 }];
        Self { rungs: LadderFile { video, audio }, explicit: false }
    }
}

/// The variants of a source: video rungs from the largest to the smallest, then audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ladder(Vec<Variant>);

impl Ladder {
    /// Plans the variants of a source: no rung has more pixels than the upright source in either direction, none stands
    /// twice, and close neighbours are left out of the default ladder.
    ///
    /// # Errors
    /// When the source has nothing to play or the policy's values are out of range.
    pub fn plan(probe: &Probe, policy: &Policy) -> Result<Self, LadderError> {
        policy.rungs.check()?;
        if probe.video.is_none() && probe.audio.is_none() {
            return Err(LadderError::NothingToPlay);
        }
        let mut variants = Vec::new();
        if let Some(video) = &probe.video {
            variants.extend(plan_video(video.display_size_px(), policy)?.into_iter().map(Variant::Video));
        }
        if probe.audio.is_some() {
            variants.extend(plan_audio(&policy.rungs.audio).into_iter().map(Variant::Audio));
        }
        if variants.is_empty() {
            let missing = match (&probe.video, &probe.audio) {
                (Some(_), Some(_)) => "video and audio",
                (Some(_), None) => "video",
                (None, _) => "audio",
            };
            return Err(LadderError::NoEntry { missing });
        }
        Ok(Self(variants))
    }

    /// Returns all variants, video first.
    pub fn variants(&self) -> &[Variant] {
        &self.0
    }

    /// Returns the video rungs, the largest first.
    pub fn video(&self) -> impl Iterator<Item = &VideoVariant> {
        self.0.iter().filter_map(|variant| match variant {
            Variant::Video(video) => Some(video),
            Variant::Audio(_) => None,
        })
    }

    /// Returns the audio renditions.
    pub fn audio(&self) -> impl Iterator<Item = &AudioVariant> {
        self.0.iter().filter_map(|variant| match variant {
            Variant::Video(_) => None,
            Variant::Audio(audio) => Some(audio),
        })
    }
}

impl LadderFile {
    /// Checks every value against what the encoders take.
    ///
    /// # Errors
    /// When a value is out of range or there are too many entries.
    pub fn check(&self) -> Result<(), LadderError> {
        let over =
            |count, max, entry| if count > max { Err(LadderError::TooMany { entry, count, max }) } else { Ok(()) };
        over(self.video.len(), limits::VIDEO_VARIANTS_MAX, "video")?;
        over(self.audio.len(), limits::AUDIO_VARIANTS_MAX, "audio")?;
        for (index, rung) in self.video.iter().enumerate() {
            let value = |field, value, allowed| LadderError::Value { entry: "video", index, field, value, allowed };
            if !(16..=8192).contains(&rung.width) {
                return Err(value("width", rung.width, "16 to 8192"));
            }
            if !(16..=8192).contains(&rung.height) {
                return Err(value("height", rung.height, "16 to 8192"));
            }
            if rung.crf > 51 {
                return Err(value("crf", rung.crf.into(), "0 to 51"));
            }
            if !(10..=400_000).contains(&rung.maxrate_kbps) {
                return Err(value("maxrate_kbps", rung.maxrate_kbps, "10 to 400000"));
            }
        }
        for (index, rung) in self.audio.iter().enumerate() {
            let value = |field, value, allowed| LadderError::Value { entry: "audio", index, field, value, allowed };
            if !(8..=512).contains(&rung.bitrate_kbps) {
                return Err(value("bitrate_kbps", rung.bitrate_kbps, "8 to 512"));
            }
            if !(1..=2).contains(&rung.channels) {
                return Err(value("channels", rung.channels.into(), "1 to 2"));
            }
        }
        Ok(())
    }
}

/// Neighbours of the default ladder with less than this ratio of pixels, in percent, are left out.
const NEIGHBOUR_PIXELS_PERCENT_MAX: u64 = 75;

fn plan_video(display: (u32, u32), policy: &Policy) -> Result<Vec<VideoVariant>, LadderError> {
    let (source_width, source_height) = (display.0 & !1, display.1 & !1);
    if source_width < 16 || source_height < 16 {
        return Err(LadderError::TooSmall { width_px: display.0, height_px: display.1 });
    }
    let mut rungs: Vec<&VideoRung> = policy.rungs.video.iter().collect();
    rungs.sort_by_key(|rung| std::cmp::Reverse((u64::from(rung.width) * u64::from(rung.height), rung.maxrate_kbps)));
    let mut chosen: Vec<VideoVariant> = Vec::new();
    for (index, rung) in rungs.iter().enumerate() {
        let (width_px, height_px) = fit(display, rung);
        if width_px < 16 || height_px < 16 {
            continue;
        }
        // Several boxes may be larger than the source: the smallest of them stands for the source's own size.
        let next_is_whole =
            rungs.get(index + 1).is_some_and(|next| fit(display, next) == (source_width, source_height));
        if next_is_whole && (!policy.explicit || exceeds(rung, display)) {
            continue;
        }
        let pixels = u64::from(width_px) * u64::from(height_px);
        if let Some(above) = chosen.last() {
            let pixels_above = u64::from(above.width_px) * u64::from(above.height_px);
            let same_size = (above.width_px, above.height_px) == (width_px, height_px);
            let twin = same_size && (!policy.explicit || same_settings(above, rung));
            if twin || (!policy.explicit && pixels * 100 > pixels_above * NEIGHBOUR_PIXELS_PERCENT_MAX) {
                continue;
            }
        }
        let name = video_name(width_px.min(height_px), &chosen);
        chosen.push(VideoVariant { name, width_px, height_px, crf: rung.crf, maxrate_kbps: rung.maxrate_kbps });
    }
    Ok(chosen)
}

/// Returns whether a rung's box is larger than the picture in both directions.
fn exceeds(rung: &VideoRung, display: (u32, u32)) -> bool {
    let (long, short) = (display.0.max(display.1), display.0.min(display.1));
    rung.width.max(rung.height) > long && rung.width.min(rung.height) > short
}

fn same_settings(above: &VideoVariant, rung: &VideoRung) -> bool {
    above.crf == rung.crf && above.maxrate_kbps == rung.maxrate_kbps
}

/// Fits the upright picture into a rung's box without growing; a tall picture turns the box. Both edges come out even.
fn fit(display: (u32, u32), rung: &VideoRung) -> (u32, u32) {
    let (long, short) = (rung.width.max(rung.height), rung.width.min(rung.height));
    let (box_width, box_height) = match (display.1 > display.0, rung.height > rung.width) {
        (true, false) => (short, long),
        (false, true) if display.0 > display.1 => (long, short),
        _ => (rung.width, rung.height),
    };
    if display.0 <= box_width && display.1 <= box_height {
        return (display.0 & !1, display.1 & !1);
    }
    let (width, height) = (u64::from(display.0), u64::from(display.1));
    let (box_width, box_height) = (u64::from(box_width), u64::from(box_height));
    let (width, height) = if width * box_height >= height * box_width {
        (box_width & !1, even(height * box_width, width))
    } else {
        (even(width * box_height, height), box_height & !1)
    };
    let narrow = |value: u64, most: u32| u32::try_from(value).unwrap_or(u32::MAX).min(most & !1);
    (narrow(width, display.0), narrow(height, display.1))
}

/// Returns the even number nearest to `numerator / denominator`.
fn even(numerator: u64, denominator: u64) -> u64 {
    (numerator + denominator) / (2 * denominator) * 2
}

fn video_name(short_edge_px: u32, chosen: &[VideoVariant]) -> RenditionName {
    let base = format!("video-{short_edge_px}p");
    RenditionName::unique(&base, |name| chosen.iter().any(|variant| &variant.name == name))
}

fn plan_audio(rungs: &[AudioRung]) -> Vec<AudioVariant> {
    let mut chosen: Vec<AudioVariant> = Vec::new();
    for rung in rungs {
        let base = format!("audio-{}k", rung.bitrate_kbps);
        let name = RenditionName::unique(&base, |name| chosen.iter().any(|variant| &variant.name == name));
        let AudioRung { codec, bitrate_kbps, channels } = *rung;
        chosen.push(AudioVariant { name, codec, bitrate_kbps, channels });
    }
    chosen
}
