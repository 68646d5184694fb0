//! The audio line of a chunk: decode once onto the source's sample count, then for each rendition mix, resample, encode.

use std::sync::atomic::{AtomicBool, Ordering};

use mcsp_child::{AudioJob, AudioRung, FromChild, TrackConfig, TrackEnd};
use mcsp_domain::{AAC_FRAME_SAMPLES, AUDIO_PREROLL_FRAMES, Round, rescale};

use crate::clock::AudioClock;
use crate::error::MediaError;
use crate::ffmpeg::{AacEncoder, Frame, Mixer, RateConverter};
use crate::parent::Parent;
use crate::reader::{Input, TrackReader};

/// Milliseconds of audio that fill a rate converter's filter before its output counts.
const CONVERTER_SETTLE_MS: i64 = 100;
/// Samples of silence made at once.
const SILENCE_SAMPLES: usize = 1024;

/// Runs the line to its end, or until `stop` is set.
pub(crate) fn run(parent: &Parent, input: &Input, stop: &AtomicBool, job: &AudioJob) -> Result<(), MediaError> {
    let mut renditions = Vec::new();
    for rung in &job.rungs {
        renditions.push(Rendition::open(parent, job, rung)?);
    }
    let mut frames = PlacedFrames::open(input, job)?;
    while renditions.iter().any(|rendition| !rendition.is_done()) {
        if stop.load(Ordering::Relaxed) {
            return Err(MediaError::Stopped);
        }
        let Some((frame, position)) = frames.next()? else { break };
        for rendition in &mut renditions {
            rendition.push(&frame, position)?;
        }
    }
    for rendition in &mut renditions {
        rendition.finish()?;
    }
    Ok(())
}

/// Decoded frames with their places on the source's sample count.
struct PlacedFrames {
    reader: TrackReader,
    clock: AudioClock,
    rate_hz: u32,
    /// The anchor's own frame.
    first: Option<Frame>,
}

impl PlacedFrames {
    /// Opens the track where the count is known: at the anchor, else at the start of the source.
    fn open(input: &Input, job: &AudioJob) -> Result<Self, MediaError> {
        let mut reader = TrackReader::open_audio(input, job.stream_index)?;
        let rate_hz = job.source_rate_hz;
        if let Some((read_from, anchor)) = job.read_from.zip(job.anchor) {
            if reader.seek(&read_from)? {
                let mut frame = Frame::new()?;
                while reader.next(&mut frame)? {
                    match frame.pts().map(|pts| reader.clock.ticks(pts)) {
                        Some(ticks) if ticks == anchor.pts => {
                            let clock =
                                AudioClock::at(rate_hz, reader.clock.timescale, reader.clock.stray_ms, anchor.position);
                            return Ok(Self { reader, clock, rate_hz, first: Some(frame) });
                        }
                        Some(ticks) if ticks > anchor.pts => break,
                        _ => {}
                    }
                }
            }
            reader = TrackReader::open_audio(input, job.stream_index)?;
        }
        let clock = AudioClock::new(rate_hz, reader.clock.timescale, reader.clock.stray_ms);
        Ok(Self { reader, clock, rate_hz, first: None })
    }

    fn next(&mut self) -> Result<Option<(Frame, i64)>, MediaError> {
        let Some(frame) = self.reader.next_after(self.first.take())? else { return Ok(None) };
        check_rate(&frame, self.rate_hz)?;
        let pts = frame.best_pts().map(|pts| self.reader.clock.ticks(pts));
        let position = self.clock.place(pts, frame.sample_count());
        Ok(Some((frame, position)))
    }
}

/// Refuses audio whose rate changes on the way: its samples would have no common count.
pub(crate) fn check_rate(frame: &Frame, rate_hz: u32) -> Result<(), MediaError> {
    match frame.sample_rate_hz() {
        found if found == rate_hz => Ok(()),
        found => Err(MediaError::Unsupported(format!("audio changes its rate from {rate_hz} to {found} Hz"))),
    }
}

/// One rendition: from placed frames to access units.
struct Rendition<'a> {
    parent: &'a Parent,
    track: u16,
    channel_count: usize,
    mixer: Mixer,
    /// The place of the next sample wanted.
    next_position: i64,
    converter: Option<RateConverter>,
    /// Samples from the converter that lie before the encoder's first block.
    surplus: usize,
    /// Samples that wait for a whole block, by channel.
    waiting: Vec<Vec<f32>>,
    encoder: AacEncoder,
    /// The codec frame that comes out next.
    next_frame: i64,
    first_frame: i64,
    end_frame: i64,
}

impl<'a> Rendition<'a> {
    /// Opens the encoder where its state no longer tells a chunk from the whole: some frames before the first one wanted.
    fn open(parent: &'a Parent, job: &AudioJob, rung: &AudioRung) -> Result<Self, MediaError> {
        let (from_hz, to_hz) = (job.source_rate_hz, job.sample_rate_hz);
        let channel_count = usize::from(rung.channels);
        // Frame n completes the samples of block n - 1 and needs block n as well, so the encoder starts at a block of the
        // same number as the first frame that comes out.
        let start_frame = (job.first_frame - 1 - AUDIO_PREROLL_FRAMES).max(0);
        let start_sample = start_frame * AAC_FRAME_SAMPLES;
        let (converter, converter_start) = if from_hz == to_hz {
            (None, start_sample)
        } else {
            // Both rates meet every `period` output samples; there the filter's phase is that of the whole.
            let period = i64::from(to_hz / greatest_common_divisor(from_hz, to_hz));
            let settled = start_sample - i64::from(to_hz) * CONVERTER_SETTLE_MS / 1000;
            (Some(RateConverter::new(channel_count, from_hz, to_hz)?), settled.div_euclid(period) * period)
        };
        let start_source = rescale(converter_start, to_hz.into(), from_hz.into(), Round::Nearest);
        let encoder = AacEncoder::open(rung.channels, to_hz, rung.bitrate_kbps)?;
        let decoder_config = encoder.decoder_config();
        parent.send(&FromChild::Config(TrackConfig { track: rung.track, decoder_config }))?;
        Ok(Self {
            parent,
            track: rung.track,
            channel_count,
            mixer: Mixer::new(rung.channels),
            next_position: job.zero_sample.saturating_add(start_source),
            converter,
            surplus: usize::try_from(start_sample - converter_start).unwrap_or(0),
            waiting: vec![Vec::new(); channel_count],
            encoder,
            next_frame: start_frame,
            first_frame: job.first_frame,
            end_frame: job.end_frame,
        })
    }

    fn is_done(&self) -> bool {
        self.next_frame >= self.end_frame
    }

    /// Takes a decoded frame: silence fills a gap before it, what overlaps is cut off.
    fn push(&mut self, frame: &Frame, position: i64) -> Result<(), MediaError> {
        if self.is_done() || position.saturating_add(frame.sample_count()) <= self.next_position {
            return Ok(());
        }
        let mut planes = self.mixer.mix(frame)?;
        while self.next_position < position && !self.is_done() {
            self.push_silence(position - self.next_position)?;
        }
        let overlap = usize::try_from(self.next_position - position).unwrap_or(0);
        for plane in &mut planes {
            plane.drain(..overlap.min(plane.len()));
        }
        self.feed(planes)
    }

    /// Fills up with silence, sends what is left and the end.
    fn finish(&mut self) -> Result<(), MediaError> {
        while !self.is_done() {
            self.push_silence(i64::MAX)?;
        }
        let frames = u64::try_from(self.end_frame - self.first_frame).unwrap_or(0);
        let next_pts = self.end_frame * AAC_FRAME_SAMPLES;
        self.parent.send(&FromChild::End(TrackEnd { track: self.track, next_pts, frames, dropped: Vec::new() }))
    }

    fn push_silence(&mut self, count_max: i64) -> Result<(), MediaError> {
        let count = usize::try_from(count_max).unwrap_or(usize::MAX).min(SILENCE_SAMPLES);
        self.feed(vec![vec![0.0; count]; self.channel_count])
    }

    /// Takes the next samples of the source.
    fn feed(&mut self, planes: Vec<Vec<f32>>) -> Result<(), MediaError> {
        let count = planes.first().map_or(0, Vec::len);
        self.next_position += i64::try_from(count).unwrap_or(0);
        let mut planes = match &mut self.converter {
            Some(converter) => converter.convert(&planes)?,
            None => planes,
        };
        let surplus = self.surplus.min(planes.first().map_or(0, Vec::len));
        self.surplus -= surplus;
        for (waiting, plane) in self.waiting.iter_mut().zip(&mut planes) {
            waiting.extend(plane.drain(..).skip(surplus));
        }
        let block_samples = usize::try_from(AAC_FRAME_SAMPLES).unwrap_or(0);
        while self.waiting.iter().all(|waiting| waiting.len() >= block_samples) && !self.is_done() {
            let block: Vec<Vec<f32>> =
                self.waiting.iter_mut().map(|waiting| waiting.drain(..block_samples).collect()).collect();
            self.encode(&block)?;
        }
        Ok(())
    }

    fn encode(&mut self, block: &[Vec<f32>]) -> Result<(), MediaError> {
        let planes: Vec<&[f32]> = block.iter().map(Vec::as_slice).collect();
        let (parent, track) = (self.parent, self.track);
        let (wanted, next_frame) = (self.first_frame..self.end_frame, &mut self.next_frame);
        self.encoder.encode(&planes, |bytes| {
            let frame = *next_frame;
            *next_frame += 1;
            if !wanted.contains(&frame) {
                return Ok(());
            }
            let pts = frame * AAC_FRAME_SAMPLES;
            parent.send(&FromChild::AccessUnit { track, key: true, pts, bytes: bytes.to_vec() })
        })
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
