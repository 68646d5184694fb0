//! One track of the source as decoded frames, from the start or from an access point that was found again.

use mcsp_child::JobLimits;
use mcsp_domain::AccessPoint;

use crate::container::Container;
use crate::error::MediaError;
use crate::ffmpeg::{DecodeStep, Decoder, Demuxer, Frame, Packet, SourceTracks, StreamClock};
use crate::source::Source;

/// Packets looked at after a jump before it counts as failed: more than a GOP of any camera.
const SEEK_PACKETS_MAX: usize = 5000;
/// Errors in a row without a packet between them, which no sound decoder gives.
const STUCK_STEPS_MAX: usize = 1000;

/// What every reader of one job shares.
pub(crate) struct Input {
    /// The bytes.
    pub(crate) source: Source,
    /// What they are.
    pub(crate) container: Container,
    /// What is allowed.
    pub(crate) limits: JobLimits,
}

/// A track being decoded.
pub(crate) struct TrackReader {
    demuxer: Demuxer,
    decoder: Decoder,
    stream_index: u32,
    /// How times of the track count.
    pub(crate) clock: StreamClock,
    packet: Packet,
    /// Whether `packet` still has to be decoded.
    is_held: bool,
}

impl TrackReader {
    /// Opens the chosen video track at the start.
    pub(crate) fn open_video(input: &Input, stream_index: u32) -> Result<Self, MediaError> {
        Self::open(input, stream_index, |tracks| {
            tracks
                .video_clock
                .filter(|_| tracks.probe.video.as_ref().is_some_and(|track| track.stream_index == stream_index))
        })
    }

    /// Opens the chosen audio track at the start.
    pub(crate) fn open_audio(input: &Input, stream_index: u32) -> Result<Self, MediaError> {
        Self::open(input, stream_index, |tracks| {
            tracks
                .audio_clock
                .filter(|_| tracks.probe.audio.as_ref().is_some_and(|track| track.stream_index == stream_index))
        })
    }

    fn open(
        input: &Input,
        stream_index: u32,
        clock: impl FnOnce(&SourceTracks) -> Option<StreamClock>,
    ) -> Result<Self, MediaError> {
        let mut demuxer = Demuxer::open(&input.source, input.container, &input.limits)?;
        let tracks = SourceTracks::of(&demuxer)?;
        let clock = clock(&tracks).ok_or_else(|| {
            MediaError::Internal(format!("stream {stream_index} of the job is not the one that was analysed"))
        })?;
        let decoder = Decoder::open(&demuxer, stream_index, input.limits.pixels)?;
        demuxer.keep_only(&[stream_index]);
        Ok(Self { demuxer, decoder, stream_index, clock, packet: Packet::new()?, is_held: false })
    }

    /// Jumps to an access point before anything was decoded; `false` when it was not found again, after which the
    /// reader is of no more use.
    pub(crate) fn seek(&mut self, point: &AccessPoint) -> Result<bool, MediaError> {
        let ticks = self.clock.stream_ticks(point.dts.unwrap_or(point.pts));
        if !self.demuxer.seek(self.stream_index, ticks, point.offset_bytes) {
            return Ok(false);
        }
        for _ in 0..SEEK_PACKETS_MAX {
            if !self.read_packet()? {
                return Ok(false);
            }
            if self.packet.pts().map(|pts| self.clock.ticks(pts)) == Some(point.pts) {
                self.is_held = true;
                return Ok(true);
            }
            let dts = self.packet.dts().map(|dts| self.clock.ticks(dts));
            if dts.zip(point.dts).is_some_and(|(dts, wanted)| dts > wanted) {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Returns `held`, a frame that was decoded to check an access point, or else the next frame; nothing at the end.
    pub(crate) fn next_after(&mut self, held: Option<Frame>) -> Result<Option<Frame>, MediaError> {
        if held.is_some() {
            return Ok(held);
        }
        let mut frame = Frame::new()?;
        Ok(self.next(&mut frame)?.then_some(frame))
    }

    /// Decodes the next frame; `false` at the end. Packets that do not decode are skipped.
    pub(crate) fn next(&mut self, frame: &mut Frame) -> Result<bool, MediaError> {
        let mut stuck_steps = 0;
        loop {
            match self.decoder.receive(frame)? {
                DecodeStep::Frame => return Ok(true),
                DecodeStep::End => return Ok(false),
                DecodeStep::Damaged => stuck_steps += 1,
                DecodeStep::Wants => {
                    stuck_steps = 0;
                    self.feed()?;
                }
            }
            if stuck_steps > STUCK_STEPS_MAX {
                return Err(MediaError::Corrupt(format!("stream {} keeps its decoder failing", self.stream_index)));
            }
        }
    }

    fn feed(&mut self) -> Result<(), MediaError> {
        if !self.is_held && !self.read_packet()? {
            return self.decoder.finish();
        }
        self.is_held = false;
        self.decoder.send(&self.packet).map(|_| ())
    }

    fn read_packet(&mut self) -> Result<bool, MediaError> {
        while self.demuxer.read(&mut self.packet)? {
            if self.packet.stream_index() == self.stream_index {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
