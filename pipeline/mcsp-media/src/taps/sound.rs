//! The sound of a source: one channel at one rate from output zero on. In: packets. Out: pieces of bounded length, silence
//! where the source has gaps.

use mcsp_child::{AudioTaps, FromChild, TAP_SAMPLE_RATE_HZ, TAP_SAMPLES_MAX, TapSound, TapsEnd};
use mcsp_domain::{AudioTrack, Round, rescale};

use super::Zero;
use crate::audio::check_rate;
use crate::clock::AudioClock;
use crate::error::MediaError;
use crate::ffmpeg::{DecodeStep, Decoder, Demuxer, Frame, Mixer, Packet, RateConverter, StreamClock};
use crate::parent::Parent;
use crate::reader::Input;

/// Samples of silence made at once.
const SILENCE_SAMPLES: usize = 1024;
/// Milliseconds of silence that push the last samples out of the rate converter.
const FLUSH_MS: u32 = 100;
/// Errors in a row without a frame between them, which no sound decoder gives.
const STUCK_STEPS_MAX: usize = 1000;

/// The sound of one track.
pub(super) struct Sound<'a> {
    parent: &'a Parent,
    samples_max: u64,
    track: AudioTrack,
    stream_clock: StreamClock,
    decoder: Decoder,
    frame: Frame,
    clock: AudioClock,
    mixer: Mixer,
    converter: Option<RateConverter>,
    /// The place of output zero on the source's count; without pictures, that of the first sample.
    zero_sample: Option<i64>,
    /// The place of the next sample wanted.
    next_position: i64,
    waiting: Vec<i16>,
    sent: u64,
    packet_count: u64,
    frame_count: u64,
    is_cut: bool,
}

impl<'a> Sound<'a> {
    /// Opens the decoder.
    pub(super) fn open(
        parent: &'a Parent,
        input: &Input,
        demuxer: &Demuxer,
        job: &AudioTaps,
        (track, stream_clock): (&AudioTrack, StreamClock),
        zero: Zero,
    ) -> Result<Self, MediaError> {
        let rate_hz = track.sample_rate_hz;
        let converter = match rate_hz == TAP_SAMPLE_RATE_HZ {
            true => None,
            false => Some(RateConverter::new(1, rate_hz, TAP_SAMPLE_RATE_HZ)?),
        };
        let zero_sample = zero.sample(rate_hz);
        let seconds_max = input.limits.duration_seconds;
        Ok(Self {
            parent,
            samples_max: job.samples_max.min(seconds_max.saturating_mul(TAP_SAMPLE_RATE_HZ.into())),
            track: track.clone(),
            stream_clock,
            decoder: Decoder::open(demuxer, track.stream_index, input.limits.pixels)?,
            frame: Frame::new()?,
            clock: AudioClock::new(rate_hz, stream_clock.timescale, stream_clock.stray_ms),
            mixer: Mixer::new(1),
            converter,
            zero_sample,
            next_position: zero_sample.unwrap_or(0),
            waiting: Vec::new(),
            sent: 0,
            packet_count: 0,
            frame_count: 0,
            is_cut: false,
        })
    }

    /// Returns the stream's index.
    pub(super) fn stream_index(&self) -> u32 {
        self.track.stream_index
    }

    /// Returns whether more came than is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.is_cut
    }

    fn is_full(&self) -> bool {
        self.sent + self.waiting.len() as u64 >= self.samples_max
    }

    /// Decodes one packet.
    pub(super) fn take(&mut self, packet: &Packet) -> Result<(), MediaError> {
        self.packet_count += 1;
        if self.is_full() {
            self.is_cut = true;
            return Ok(());
        }
        if self.decoder.send(packet)? == DecodeStep::Damaged {
            return Ok(());
        }
        self.receive()
    }

    /// Tells what is still held.
    pub(super) fn finish(mut self, end: &mut TapsEnd) -> Result<(), MediaError> {
        self.decoder.finish()?;
        self.receive()?;
        if self.frame_count == 0 && self.packet_count > 0 {
            let (count, index, codec) = (self.packet_count, self.track.stream_index, &self.track.codec);
            return Err(MediaError::Corrupt(format!("none of {count} packets of stream {index} ({codec}) decodes")));
        }
        let length = self.next_position.saturating_sub(self.zero_sample.unwrap_or(0));
        let (from_hz, to_hz) = (self.track.sample_rate_hz.into(), TAP_SAMPLE_RATE_HZ.into());
        let wanted = u64::try_from(rescale(length, from_hz, to_hz, Round::Nearest)).unwrap_or(0);
        if self.converter.is_some() {
            let count = usize::try_from(self.track.sample_rate_hz.saturating_mul(FLUSH_MS) / 1000).unwrap_or(0);
            self.feed(vec![0.0; count])?;
        }
        let left = wanted.min(self.samples_max).saturating_sub(self.sent);
        self.waiting.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.send_pieces(1)?;
        end.samples = self.sent;
        end.is_cut |= self.is_cut;
        Ok(())
    }

    fn receive(&mut self) -> Result<(), MediaError> {
        let mut stuck_steps = 0;
        loop {
            match self.decoder.receive(&mut self.frame)? {
                DecodeStep::Frame => {
                    stuck_steps = 0;
                    self.place()?;
                }
                DecodeStep::Wants | DecodeStep::End => return Ok(()),
                DecodeStep::Damaged => stuck_steps += 1,
            }
            if stuck_steps > STUCK_STEPS_MAX {
                return Err(MediaError::Corrupt(format!("stream {} keeps its decoder failing", self.stream_index())));
            }
        }
    }

    /// Takes a decoded frame: silence fills a gap before it, what overlaps is cut off.
    fn place(&mut self) -> Result<(), MediaError> {
        check_rate(&self.frame, self.track.sample_rate_hz)?;
        self.frame_count += 1;
        let pts = self.frame.best_pts().map(|pts| self.stream_clock.ticks(pts));
        let count = self.frame.sample_count();
        let position = self.clock.place(pts, count);
        if self.zero_sample.is_none() {
            self.zero_sample = Some(position);
            self.next_position = position;
        }
        if position.saturating_add(count) <= self.next_position || self.is_full() {
            return Ok(());
        }
        while self.next_position < position && !self.is_full() {
            let gap = usize::try_from(position - self.next_position).unwrap_or(usize::MAX);
            self.feed(vec![0.0; gap.min(SILENCE_SAMPLES)])?;
        }
        let overlap = usize::try_from(self.next_position - position).unwrap_or(0);
        let mut plane = self.mixer.mix(&self.frame)?.into_iter().next().unwrap_or_default();
        plane.drain(..overlap.min(plane.len()));
        self.feed(plane)
    }

    /// Takes the next samples of the source.
    fn feed(&mut self, plane: Vec<f32>) -> Result<(), MediaError> {
        self.next_position = self.next_position.saturating_add(i64::try_from(plane.len()).unwrap_or(0));
        let plane = match &mut self.converter {
            Some(converter) => converter.convert(&[plane])?.into_iter().next().unwrap_or_default(),
            None => plane,
        };
        self.waiting.extend(plane.into_iter().map(quantised));
        self.send_pieces(TAP_SAMPLES_MAX)
    }

    /// Sends what waits in whole pieces of at least `least` samples.
    fn send_pieces(&mut self, least: usize) -> Result<(), MediaError> {
        while self.waiting.len() >= least {
            let room = usize::try_from(self.samples_max - self.sent.min(self.samples_max)).unwrap_or(usize::MAX);
            let count = self.waiting.len().min(TAP_SAMPLES_MAX).min(room);
            if count == 0 {
                self.is_cut = true;
                self.waiting.clear();
                return Ok(());
            }
            let samples: Vec<i16> = self.waiting.drain(..count).collect();
            let piece = TapSound { first_sample: self.sent, samples };
            self.sent += count as u64;
            self.parent.send(&FromChild::TapSound(piece))?;
        }
        Ok(())
    }
}

fn quantised(sample: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range before")]
    let value = (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    value
}
