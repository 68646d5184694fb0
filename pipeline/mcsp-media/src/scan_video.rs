//! The video track in an analysis: its packets tell the times, one decoded frame tells where they start to be shown.
//! Where packets tell no times, everything is decoded.

use mcsp_child::JobLimits;
use mcsp_domain::{AccessPoint, Colour, Round, VideoAnalysis, VideoTrack, limits, rescale};

use crate::clock::runs_of;
use crate::error::MediaError;
use crate::ffmpeg::{DecodeStep, Decoder, Demuxer, Frame, Packet, StreamClock};
use crate::reader::{Input, TrackReader};

/// Access points are kept this far apart: nearer ones save no decoding worth their place in the plan.
const POINTS_APART_MS: i64 = 500;

/// A video track being read.
pub(crate) struct VideoScan {
    stream_index: u32,
    codec: String,
    clock: StreamClock,
    /// How long a frame lasts where its packet does not tell.
    frame_ticks: i64,
    first: FirstFrame,
    /// Times and ends of shown frames, in decode order.
    shown: Vec<(i64, i64)>,
    /// Whether a shown frame came without a time.
    is_untimed: bool,
    points: Vec<AccessPoint>,
}

/// The search for the first frame that is shown.
enum FirstFrame {
    Searching { decoder: Decoder, frame: Frame },
    At(Option<i64>),
}

impl VideoScan {
    /// Opens the decoder.
    pub(crate) fn open(
        demuxer: &Demuxer,
        track: &VideoTrack,
        clock: StreamClock,
        limits: &JobLimits,
    ) -> Result<Self, MediaError> {
        let (num, den) = track.frame_rate;
        let frame_ticks = rescale(den.into(), num.max(1).into(), clock.timescale.into(), Round::Nearest).max(1);
        let decoder = Decoder::open(demuxer, track.stream_index, limits.pixels)?;
        Ok(Self {
            stream_index: track.stream_index,
            codec: track.codec.clone(),
            clock,
            frame_ticks,
            first: FirstFrame::Searching { decoder, frame: Frame::new()? },
            shown: Vec::new(),
            is_untimed: false,
            points: Vec::new(),
        })
    }

    /// Returns the stream's index.
    pub(crate) fn stream_index(&self) -> u32 {
        self.stream_index
    }

    /// Notes one packet.
    pub(crate) fn take(&mut self, packet: &Packet) -> Result<(), MediaError> {
        if let FirstFrame::Searching { decoder, .. } = &mut self.first {
            decoder.send(packet)?;
            self.look_for_first()?;
        }
        if packet.is_discarded() || is_hidden(&self.codec, packet.data()) {
            return Ok(());
        }
        if self.shown.len() as u64 >= limits::SOURCE_FRAMES_MAX {
            let (index, max) = (self.stream_index, limits::SOURCE_FRAMES_MAX);
            return Err(MediaError::Limit(format!("stream {index} has more than {max} frames")));
        }
        let Some(pts) = packet.pts().map(|pts| self.clock.ticks(pts)) else {
            self.is_untimed = true;
            return Ok(());
        };
        let duration = match self.clock.ticks(packet.duration()) {
            0 => self.frame_ticks,
            ticks => ticks,
        };
        self.shown.push((pts, pts.saturating_add(duration)));
        if packet.is_key() {
            let dts = packet.dts().map(|dts| self.clock.ticks(dts));
            self.points.push(AccessPoint { pts, dts, offset_bytes: packet.offset_bytes(), position: 0 });
        }
        Ok(())
    }

    fn look_for_first(&mut self) -> Result<(), MediaError> {
        let FirstFrame::Searching { decoder, frame } = &mut self.first else { return Ok(()) };
        if decoder.receive(frame)? == DecodeStep::Frame {
            refuse(frame)?;
            self.first = FirstFrame::At(frame.best_pts().map(|pts| self.clock.ticks(pts)));
        }
        Ok(())
    }

    /// Returns what was found; nothing when the track is empty.
    pub(crate) fn finish(mut self, input: &Input) -> Result<Option<VideoAnalysis>, MediaError> {
        if self.shown.is_empty() && !self.is_untimed {
            return Ok(None);
        }
        if let FirstFrame::Searching { decoder, .. } = &mut self.first {
            decoder.finish()?;
            self.look_for_first()?;
        }
        if matches!(self.first, FirstFrame::Searching { .. }) {
            let (index, codec) = (self.stream_index, &self.codec);
            return Err(MediaError::Corrupt(format!("no frame of stream {index} ({codec}) decodes")));
        }
        let times_are_sound = self.times_are_sound();
        match self.first {
            FirstFrame::At(Some(zero_pts)) if times_are_sound => Ok(Some(self.by_packets(zero_pts))),
            _ => self.by_decoding(input).map(Some),
        }
    }

    fn times_are_sound(&mut self) -> bool {
        self.shown.sort_unstable();
        !self.is_untimed && self.shown.windows(2).all(|pair| pair[0].0 < pair[1].0)
    }

    fn by_packets(self, zero_pts: i64) -> VideoAnalysis {
        let first = self.shown.partition_point(|&(pts, _)| pts < zero_pts);
        let shown = self.shown.get(first..).unwrap_or_default();
        let times: Vec<i64> = shown.iter().map(|&(pts, _)| pts).collect();
        let last_pts = times.last().copied().unwrap_or(zero_pts);
        let end_pts = shown.iter().map(|&(_, end)| end).max().unwrap_or(zero_pts).max(last_pts + 1);
        VideoAnalysis {
            zero_pts,
            end_pts,
            frame_count: times.len() as u64,
            access_points: thinned(self.points, &times, zero_pts, self.clock.timescale),
            frame_runs: runs_of(&times, end_pts),
        }
    }

    /// Decodes the whole track for its times; nothing but its start is an access point then.
    fn by_decoding(self, input: &Input) -> Result<VideoAnalysis, MediaError> {
        let mut reader = TrackReader::open_video(input, self.stream_index)?;
        let mut frame = Frame::new()?;
        let mut times: Vec<i64> = Vec::new();
        while reader.next(&mut frame)? {
            let told = frame.best_pts().map(|pts| self.clock.ticks(pts));
            let last = times.last().copied();
            let ticks = told.unwrap_or_else(|| last.map_or(0, |last| last + self.frame_ticks));
            if last.is_none_or(|last| ticks > last) {
                times.push(ticks);
            }
        }
        let Some((&zero_pts, &last_pts)) = times.first().zip(times.last()) else {
            return Err(MediaError::Corrupt(format!("no frame of stream {} decodes", self.stream_index)));
        };
        let end_pts = last_pts + self.frame_ticks;
        let (frame_count, frame_runs) = (times.len() as u64, runs_of(&times, end_pts));
        Ok(VideoAnalysis { zero_pts, end_pts, frame_count, access_points: Vec::new(), frame_runs })
    }
}

/// Refuses what only a decoded frame tells.
fn refuse(frame: &Frame) -> Result<(), MediaError> {
    if let Some(order) = frame.field_order() {
        return Err(interlaced(order));
    }
    let transfer = u8::try_from(frame.transfer()).unwrap_or(2);
    refuse_hdr(Colour { transfer, ..Colour::UNSPECIFIED })
}

/// Returns the refusal of interlaced video.
pub(crate) fn interlaced(order: &str) -> MediaError {
    MediaError::Unsupported(format!("interlaced video ({order}) is not supported yet"))
}

/// Refuses a high dynamic range by its name.
pub(crate) fn refuse_hdr(colour: Colour) -> Result<(), MediaError> {
    match colour.hdr_name() {
        Some(name) => Err(MediaError::Unsupported(format!("HDR video, {name}, is not supported yet"))),
        None => Ok(()),
    }
}

/// Keeps the last point at or before zero and those after it that stand far enough apart.
fn thinned(mut points: Vec<AccessPoint>, times: &[i64], zero_pts: i64, timescale: u32) -> Vec<AccessPoint> {
    points.sort_unstable_by_key(|point| point.pts);
    let before = points.partition_point(|point| point.pts <= zero_pts).saturating_sub(1);
    let apart = rescale(POINTS_APART_MS, 1000, timescale.into(), Round::Up);
    let mut kept: Vec<AccessPoint> = Vec::new();
    for point in points.into_iter().skip(before) {
        let is_apart = kept.last().is_none_or(|last| point.pts - last.pts >= apart);
        if is_apart && kept.len() < limits::ACCESS_POINTS_MAX {
            let position = i64::try_from(times.partition_point(|&pts| pts < point.pts)).unwrap_or(i64::MAX);
            kept.push(AccessPoint { position, ..point });
        }
    }
    kept
}

/// Tells packets that only later pictures refer to, which containers carry like shown ones.
fn is_hidden(codec: &str, data: &[u8]) -> bool {
    match (codec, data) {
        // Frame tag, RFC 6386 §9.1: the fifth bit shows the frame.
        ("vp8", [first, ..]) => first & 0x10 == 0,
        ("vp9", [first, .., last]) => vp9_is_hidden(*first, *last),
        _ => false,
    }
}

/// Reads the start of a VP9 frame's header (VP9 bitstream §6.2); a superframe (annex B) ends with a shown frame.
fn vp9_is_hidden(first: u8, last: u8) -> bool {
    let is_superframe = last & 0xe0 == 0xc0;
    let profile = (first >> 5 & 1) | (first >> 4 & 1) << 1;
    // After marker and profile (one more bit in profile 3) come show_existing_frame, frame_type, show_frame.
    let bits = if profile == 3 { first & 7 } else { first >> 1 & 7 };
    let (show_existing, show) = (bits & 4 != 0, bits & 1 != 0);
    !is_superframe && !show_existing && !show
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_frames_are_told_by_their_first_bits() {
        assert!(!is_hidden("vp8", &[0x10, 0, 0]));
        assert!(is_hidden("vp8", &[0x01, 0, 0]));
        // Profile 0, key frame, shown: 10 0 0 0 0 1 0.
        assert!(!is_hidden("vp9", &[0b1000_0010, 0x49, 0]));
        assert!(is_hidden("vp9", &[0b1000_0100, 0x49, 0]));
        assert!(!is_hidden("vp9", &[0b1000_0100, 0x49, 0xc1]));
        assert!(!is_hidden("h264", &[0, 0]));
    }

    #[test]
    fn points_start_at_or_before_zero_and_stand_apart() {
        let point = |pts| AccessPoint { pts, dts: None, offset_bytes: None, position: 0 };
        let points = [-200, 0, 40, 480, 520, 1040].map(point).to_vec();
        let times = [10, 40, 480, 520, 1040];
        let kept: Vec<(i64, i64)> =
            thinned(points, &times, 10, 1000).iter().map(|point| (point.pts, point.position)).collect();
        assert_eq!(kept, [(0, 0), (520, 3), (1040, 4)]);
    }
}
