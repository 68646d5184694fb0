//! The audio track in an analysis: decoded wholly, since only that tells how many samples it has and where they stand.

use mcsp_child::JobLimits;
use mcsp_domain::{AccessPoint, AudioAnalysis, AudioTrack, limits};

use crate::audio::check_rate;
use crate::clock::AudioClock;
use crate::error::MediaError;
use crate::ffmpeg::{DecodeStep, Decoder, Demuxer, Frame, Packet, StreamClock};

/// An audio track being read.
pub(crate) struct AudioScan {
    stream_index: u32,
    codec: String,
    rate_hz: u32,
    decoder: Decoder,
    frame: Frame,
    stream_clock: StreamClock,
    clock: AudioClock,
    /// The packet that was given to the decoder last, as a possible access point.
    entry: Option<AccessPoint>,
    /// Where the packet before it started: packets of one PES share that and cannot all be found again.
    last_offset_bytes: Option<u64>,
    first_sample: Option<i64>,
    end_sample: i64,
    access_points: Vec<AccessPoint>,
    packet_count: u64,
}

impl AudioScan {
    /// Opens the decoder.
    pub(crate) fn open(
        demuxer: &Demuxer,
        track: &AudioTrack,
        stream_clock: StreamClock,
        limits: &JobLimits,
    ) -> Result<Self, MediaError> {
        Ok(Self {
            stream_index: track.stream_index,
            codec: track.codec.clone(),
            rate_hz: track.sample_rate_hz,
            decoder: Decoder::open(demuxer, track.stream_index, limits.pixels)?,
            frame: Frame::new()?,
            stream_clock,
            clock: AudioClock::new(track.sample_rate_hz, stream_clock.timescale, stream_clock.stray_ms),
            entry: None,
            last_offset_bytes: None,
            first_sample: None,
            end_sample: 0,
            access_points: Vec::new(),
            packet_count: 0,
        })
    }

    /// Returns the stream's index.
    pub(crate) fn stream_index(&self) -> u32 {
        self.stream_index
    }

    /// Decodes one packet.
    pub(crate) fn take(&mut self, packet: &Packet) -> Result<(), MediaError> {
        self.packet_count += 1;
        let offset_bytes = packet.offset_bytes();
        let starts_here = offset_bytes.is_none() || offset_bytes != self.last_offset_bytes;
        self.last_offset_bytes = offset_bytes;
        let ticks = |ticks: i64| self.stream_clock.ticks(ticks);
        self.entry = packet.pts().filter(|_| packet.is_key() && starts_here).map(|pts| AccessPoint {
            pts: ticks(pts),
            dts: packet.dts().map(ticks),
            offset_bytes,
            position: 0,
        });
        if self.decoder.send(packet)? == DecodeStep::Damaged {
            return Ok(());
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        while self.decoder.receive(&mut self.frame)? == DecodeStep::Frame {
            check_rate(&self.frame, self.rate_hz)?;
            let pts = self.frame.best_pts().map(|pts| self.stream_clock.ticks(pts));
            let count = self.frame.sample_count();
            let position = self.clock.place(pts, count);
            self.first_sample = Some(self.first_sample.map_or(position, |first| first.min(position)));
            self.end_sample = self.end_sample.max(position.saturating_add(count));
            let own_pts = self.frame.pts().map(|pts| self.stream_clock.ticks(pts));
            // A chunk that starts at this frame must count as this scan does.
            let settled = self.clock.is_settled();
            if let Some(entry) = self.entry.take().filter(|entry| settled && Some(entry.pts) == own_pts) {
                self.keep(AccessPoint { position, ..entry });
            }
        }
        Ok(())
    }

    /// Keeps access points about a second apart, rising in time and place.
    fn keep(&mut self, point: AccessPoint) {
        let second = i64::from(self.rate_hz);
        let is_apart = self
            .access_points
            .last()
            .is_none_or(|last| point.position - last.position >= second && point.pts > last.pts);
        if is_apart && self.access_points.len() < limits::ACCESS_POINTS_MAX {
            self.access_points.push(point);
        }
    }

    /// Returns what was found; nothing when the track is empty.
    pub(crate) fn finish(mut self) -> Result<Option<AudioAnalysis>, MediaError> {
        self.decoder.finish()?;
        self.entry = None;
        self.drain()?;
        match self.first_sample {
            Some(first_sample) => {
                Ok(Some(AudioAnalysis { first_sample, end_sample: self.end_sample, access_points: self.access_points }))
            }
            None if self.packet_count == 0 => Ok(None),
            None => {
                let (count, index, codec) = (self.packet_count, self.stream_index, &self.codec);
                Err(MediaError::Corrupt(format!("none of {count} packets of stream {index} ({codec}) decodes")))
            }
        }
    }
}
