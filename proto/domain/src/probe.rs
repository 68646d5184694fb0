//! What a source is: `Probe` from its headers, `Analysis` from reading it once.
//!
//! Source times are ticks of the track's own timescale, as the container gives them; output times count from zero,
//! the first displayed video frame (the first audio sample where there is no video).

use serde::{Deserialize, Serialize};

use crate::Colour;

/// What the headers of a source say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The container's short name, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Bytes of the source.
    pub len_bytes: u64,
    /// Length in microseconds as the headers claim it; 0 when they do not.
    pub duration_us: u64,
    /// The video track that is transcoded: the first that the container calls default, else the largest.
    pub video: Option<VideoTrack>,
    /// The audio track that is transcoded: the first that the container calls default, else the first.
    pub audio: Option<AudioTrack>,
    /// Tracks that are left out, in words: `stream 3: subtitle mov_text`.
    pub left_out: Vec<String>,
}

/// A source's video track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoTrack {
    /// The track's place in the container, from 0.
    pub stream_index: u32,
    /// The codec's short name, such as `h264`.
    pub codec: String,
    /// Ticks per second of source times and of every rendition.
    pub timescale: u32,
    /// Width of the coded picture, before `orientation`.
    pub coded_width_px: u32,
    /// Height of the coded picture, before `orientation`.
    pub coded_height_px: u32,
    /// Shape of a coded pixel: width and height, `(1, 1)` for square ones.
    pub pixel_aspect: (u32, u32),
    /// How the coded picture is turned for display.
    pub orientation: Orientation,
    /// Average frames per second as a fraction.
    pub frame_rate: (u32, u32),
    /// The pixel format's name, such as `yuv420p`.
    pub pixel_format: String,
    /// Bits of a luma sample.
    pub bit_depth: u8,
    /// Whether pictures hold two fields.
    pub interlaced: bool,
    /// Colour tags.
    pub colour: Colour,
}

/// How a coded picture is turned for display: first mirrored left to right, then turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orientation {
    /// Clockwise quarter turns, 0 to 3.
    pub quarter_turns: u8,
    /// Whether left and right change places first.
    pub mirrored: bool,
}

impl VideoTrack {
    /// Returns width and height of the upright picture with square pixels, never larger than the coded picture in
    /// either direction: pixels that are not square shrink the longer side. A shape within 1 % of square is a container's
    /// rounding and counts as square.
    pub fn display_size_px(&self) -> (u32, u32) {
        let (aspect_width, aspect_height) =
            (u64::from(self.pixel_aspect.0.max(1)), u64::from(self.pixel_aspect.1.max(1)));
        let (width, height) = (u64::from(self.coded_width_px), u64::from(self.coded_height_px));
        let nearly_square = aspect_width.abs_diff(aspect_height) * 100 <= aspect_width.min(aspect_height);
        let (width, height) = if nearly_square {
            (width, height)
        } else if aspect_width >= aspect_height {
            (width, (height * aspect_height + aspect_width / 2) / aspect_width)
        } else {
            ((width * aspect_width + aspect_height / 2) / aspect_height, height)
        };
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        if self.orientation.quarter_turns % 2 == 1 {
            (narrow(height), narrow(width))
        } else {
            (narrow(width), narrow(height))
        }
    }
}

/// A source's audio track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// The track's place in the container, from 0.
    pub stream_index: u32,
    /// The codec's short name, such as `aac`.
    pub codec: String,
    /// Ticks per second of source times.
    pub timescale: u32,
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u32,
    /// ISO 639-2 language, three lowercase letters, `und` when unknown.
    pub language: String,
}

/// A point from which a track can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPoint {
    /// Presentation time in source ticks of the packet that can be decoded alone.
    pub pts: i64,
    /// That packet's decode time in source ticks, where the container has one.
    pub dts: Option<i64>,
    /// Where the packet starts in the file, where the container tells.
    pub offset_bytes: Option<u64>,
    /// Audio: the place of the packet's first sample on the source's continuous sample count (see `AudioAnalysis`).
    /// Video: the number of displayable frames before this point, in display order.
    pub position: i64,
}

/// What reading the source once told: where to cut and where to seek.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The video track, when there is one with at least one frame.
    pub video: Option<VideoAnalysis>,
    /// The audio track, when there is one with at least one sample.
    pub audio: Option<AudioAnalysis>,
}

/// What reading told about the video track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoAnalysis {
    /// Source time of the first displayed frame: zero of the output.
    pub zero_pts: i64,
    /// Source time at which the last frame ends.
    pub end_pts: i64,
    /// Displayable frames from `zero_pts` on, as the packets tell.
    pub frame_count: u64,
    /// Random access points in rising `pts`, the first at or before `zero_pts`; empty when timestamps cannot be
    /// trusted, so that every chunk decodes from the start.
    pub access_points: Vec<AccessPoint>,
    /// Source presentation times of all displayable frames, delta-coded: the first stands at `zero_pts`, and a run of
    /// (count, ticks) says that each of the next `count` frames is followed by its neighbour after `ticks`.
    pub frame_runs: Vec<(u32, i64)>,
}

/// What decoding told about the audio track.
///
/// The source's samples are counted without gaps from an origin: sample `n` plays at `n / sample_rate_hz` seconds on the
/// container's own clock. Where timestamps jump by more than the tolerance, silence or a cut keeps the count true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioAnalysis {
    /// The first decoded sample's place on the count.
    pub first_sample: i64,
    /// The place after the last decoded sample.
    pub end_sample: i64,
    /// Points about a second apart from which decoding may start, each with its exact place on the count.
    pub access_points: Vec<AccessPoint>,
}

impl VideoAnalysis {
    /// Returns the presentation times of all displayable frames in source ticks, rising.
    pub fn frame_times(&self) -> impl Iterator<Item = i64> {
        let mut pts = self.zero_pts;
        let steps = self.frame_runs.iter().flat_map(|&(count, ticks)| std::iter::repeat_n(ticks, count as usize));
        steps.map(move |ticks| {
            let this = pts;
            pts = pts.saturating_add(ticks);
            this
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(coded: (u32, u32), pixel_aspect: (u32, u32), quarter_turns: u8) -> VideoTrack {
        VideoTrack {
            stream_index: 0,
            codec: "h264".into(),
            timescale: 90_000,
            coded_width_px: coded.0,
            coded_height_px: coded.1,
            pixel_aspect,
            orientation: Orientation { quarter_turns, mirrored: false },
            frame_rate: (25, 1),
            pixel_format: "yuv420p".into(),
            bit_depth: 8,
            interlaced: false,
            colour: Colour::UNSPECIFIED,
        }
    }

    #[test]
    fn display_size_turns_and_squares_pixels_without_growing() {
        assert_eq!(track((1280, 720), (1, 1), 1).display_size_px(), (720, 1280));
        assert_eq!(track((720, 576), (16, 15), 0).display_size_px(), (720, 540));
        assert_eq!(track((720, 480), (8, 9), 0).display_size_px(), (640, 480));
        assert_eq!(track((800, 332), (399, 400), 0).display_size_px(), (800, 332));
        assert_eq!(track((640, 360), (0, 0), 2).display_size_px(), (640, 360));
    }

    #[test]
    fn frame_times_follow_the_runs() {
        let video = VideoAnalysis {
            zero_pts: 100,
            end_pts: 100 + 3 * 10 + 2 * 20,
            frame_count: 5,
            access_points: Vec::new(),
            frame_runs: vec![(3, 10), (2, 20)],
        };
        assert_eq!(video.frame_times().collect::<Vec<_>>(), [100, 110, 120, 130, 150]);
    }
}
