//! The pictures of a source: key frames alone where they stand near enough, and between them what is due. In: packets in
//! decode order. Out: luma pictures, cells and stills.
//!
//! A packet is held back until it is known whether anything up to it is needed: when the next key frame comes in time, what
//! waits is dropped undecoded; when a picture is overdue, or a dense stretch begins, everything since the key is decoded.

use mcsp_child::{CELL_COLUMNS, CELL_ROWS, FromChild, TAP_LUMA_EDGE_PX_MAX, TapCells, TapPicture, TapsEnd, VideoTaps};
use mcsp_domain::{Probe, Round, VideoTrack, limits, rescale};

use super::Zero;
use super::stills::Stills;
use super::turn::{fit, turned};
use crate::error::MediaError;
use crate::ffmpeg::{DecodeStep, Decoder, Demuxer, Frame, Graph, Packet, StreamClock, tag_picture};
use crate::parent::Parent;
use crate::reader::Input;

/// Bytes of packets that may wait: some seconds of the fastest camera.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Packets that may wait: a GOP of half an hour.
const WAITING_PACKETS_MAX: usize = 1 << 16;
/// Errors in a row without a frame between them, which no sound decoder gives.
const STUCK_STEPS_MAX: usize = 1000;

/// The pictures of one track.
pub(super) struct Pictures<'a> {
    parent: &'a Parent,
    job: &'a VideoTaps,
    track: VideoTrack,
    clock: StreamClock,
    zero_ticks: i64,
    seconds_max: u64,
    decoder: Decoder,
    /// Packets since the last key, or since what the decoder has.
    waiting: Vec<Packet>,
    waiting_bytes: usize,
    /// Whether the decoder holds the packets before those that wait.
    is_live: bool,
    /// When the next picture is wanted, and how far apart they are.
    due_ms: u64,
    spacing_ms: u64,
    /// Makes luma of pictures that have none.
    to_luma: Graph,
    to_luma_px: (i32, i32),
    stills: Stills<'a>,
    last_ms: Option<u64>,
    packet_count: u64,
    frame_count: u64,
    end: TapsEnd,
}

impl<'a> Pictures<'a> {
    /// Opens the decoder.
    pub(super) fn open(
        parent: &'a Parent,
        input: &Input,
        demuxer: &Demuxer,
        (job, probe): (&'a VideoTaps, &Probe),
        (track, clock): (&VideoTrack, StreamClock),
        zero: Zero,
    ) -> Result<Self, MediaError> {
        let claimed_ms = probe.duration_us / 1000;
        let spread_ms = claimed_ms.div_ceil(u64::from(job.pictures_max.max(1)));
        Ok(Self {
            parent,
            job,
            track: track.clone(),
            clock,
            zero_ticks: zero.video.map_or(0, |(ticks, _)| ticks),
            seconds_max: input.limits.duration_seconds,
            decoder: Decoder::open(demuxer, track.stream_index, input.limits.pixels)?,
            waiting: Vec::new(),
            waiting_bytes: 0,
            is_live: false,
            due_ms: 0,
            spacing_ms: u64::from(job.every_ms.max(1)).max(spread_ms),
            to_luma: Graph::scale(0, 0, track.colour),
            to_luma_px: (0, 0),
            stills: Stills::new(parent, job.storyboard, job.poster, track),
            last_ms: None,
            packet_count: 0,
            frame_count: 0,
            end: TapsEnd::default(),
        })
    }

    /// Returns the stream's index.
    pub(super) fn stream_index(&self) -> u32 {
        self.track.stream_index
    }

    /// Returns whether more came than is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_cut
    }

    fn is_full(&self) -> bool {
        self.end.pictures >= self.job.pictures_max && self.job.dense.is_none()
    }

    /// Takes the next packet of the track.
    pub(super) fn take(&mut self, packet: Packet) -> Result<(), MediaError> {
        self.packet_count += 1;
        let time_ms = packet.pts().or(packet.dts()).map(|pts| self.time_ms(self.clock.ticks(pts)));
        let time_ms = time_ms.unwrap_or(self.end_ms());
        let after_ms = rescale(self.clock.ticks(packet.duration()), self.track.timescale.into(), 1000, Round::Up);
        self.end.video_end_ms = self.end.video_end_ms.max(u64::try_from(time_ms.saturating_add(after_ms)).unwrap_or(0));
        if time_ms / 1000 > i64::try_from(self.seconds_max).unwrap_or(i64::MAX) {
            return Err(MediaError::Limit(format!(
                "source lasts {} s, {} s allowed",
                time_ms / 1000,
                self.seconds_max
            )));
        }
        if self.is_full() {
            self.end.is_cut = true;
            return Ok(());
        }
        let due_ms = i64::try_from(self.due_ms).unwrap_or(i64::MAX);
        let half_ms = i64::try_from(self.spacing_ms / 2).unwrap_or(0);
        let is_dense = self.job.dense.is_some_and(|dense| u64::try_from(time_ms).is_ok_and(|at| dense.covers(at)));
        let is_key = packet.is_key();
        if is_key {
            self.leave_gop()?;
        }
        self.waiting_bytes += packet.data().len();
        self.waiting.push(packet);
        if is_dense {
            return self.decode_waiting();
        }
        if is_key && time_ms >= due_ms.saturating_sub(half_ms) {
            return self.decode_key();
        }
        // Until the first picture is there, nothing is skipped: a key may not decode alone.
        let is_overdue = time_ms >= due_ms.saturating_add(half_ms) || self.frame_count == 0;
        let is_many = self.waiting_bytes > WAITING_BYTES_MAX || self.waiting.len() > WAITING_PACKETS_MAX;
        if is_overdue || is_many {
            return self.decode_waiting();
        }
        Ok(())
    }

    /// Tells what is still held and what came of it all.
    pub(super) fn finish(mut self, end: &mut TapsEnd) -> Result<(), MediaError> {
        let last_wanted_ms = self.due_ms.saturating_add(self.spacing_ms / 2);
        if self.end.video_end_ms > last_wanted_ms && !self.is_full() {
            self.decode_waiting()?;
        }
        self.leave_gop()?;
        if self.frame_count == 0 && self.packet_count > 0 {
            let (index, codec) = (self.track.stream_index, &self.track.codec);
            return Err(MediaError::Corrupt(format!("no frame of stream {index} ({codec}) decodes")));
        }
        self.stills.finish()?;
        *end = TapsEnd { samples: end.samples, is_cut: end.is_cut || self.end.is_cut, ..self.end };
        Ok(())
    }

    /// Drops what waits and empties the decoder: the next packet starts anew.
    fn leave_gop(&mut self) -> Result<(), MediaError> {
        self.waiting.clear();
        self.waiting_bytes = 0;
        if self.is_live {
            self.drain(self.due_ms)?;
            self.is_live = false;
        }
        Ok(())
    }

    /// Decodes the key that waits, alone; it goes on waiting, for pictures that build on it.
    fn decode_key(&mut self) -> Result<(), MediaError> {
        assert!(!self.is_live && self.waiting.len() == 1, "{} packets wait at a key", self.waiting.len());
        if let Some(key) = self.waiting.first() {
            self.decoder.send(key)?;
        }
        // What comes out is the key, or nothing where it does not decode alone.
        self.drain(self.due_ms.saturating_sub(self.spacing_ms / 2))
    }

    /// Decodes everything that waits.
    fn decode_waiting(&mut self) -> Result<(), MediaError> {
        for packet in std::mem::take(&mut self.waiting) {
            self.decoder.send(&packet)?;
            self.receive(self.due_ms, false)?;
        }
        self.waiting_bytes = 0;
        self.is_live = true;
        Ok(())
    }

    fn drain(&mut self, wanted_ms: u64) -> Result<(), MediaError> {
        self.decoder.finish()?;
        self.receive(wanted_ms, true)?;
        self.decoder.reset();
        Ok(())
    }

    /// Takes the frames that are ready, or all that are left.
    fn receive(&mut self, wanted_ms: u64, is_draining: bool) -> Result<(), MediaError> {
        let mut stuck_steps = 0;
        let mut wanted_ms = wanted_ms;
        loop {
            let mut frame = Frame::new()?;
            match self.decoder.receive(&mut frame)? {
                DecodeStep::Frame => {
                    stuck_steps = 0;
                    if self.show(frame, wanted_ms)? {
                        wanted_ms = self.due_ms;
                    }
                }
                DecodeStep::Wants if !is_draining => return Ok(()),
                DecodeStep::End | DecodeStep::Wants => return Ok(()),
                DecodeStep::Damaged => stuck_steps += 1,
            }
            if stuck_steps > STUCK_STEPS_MAX {
                return Err(MediaError::Corrupt(format!("stream {} keeps its decoder failing", self.stream_index())));
            }
        }
    }

    /// Tells one frame where it is wanted; returns whether it became a picture.
    fn show(&mut self, mut frame: Frame, wanted_ms: u64) -> Result<bool, MediaError> {
        self.frame_count += 1;
        let told_ms = frame.best_pts().map(|pts| self.time_ms(self.clock.ticks(pts)));
        let Ok(time_ms) = u64::try_from(told_ms.unwrap_or(self.end_ms())) else { return Ok(false) };
        let is_dense = self.job.dense.is_some_and(|dense| dense.covers(time_ms));
        let is_wanted = time_ms >= wanted_ms
            && self.last_ms.is_none_or(|last| time_ms > last)
            && self.end.pictures < self.job.pictures_max;
        if !is_dense && !is_wanted {
            return Ok(false);
        }
        tag_picture(&mut frame, self.track.colour);
        if is_dense {
            let means = self.means(&frame, (CELL_COLUMNS, CELL_ROWS))?;
            self.parent.send(&FromChild::TapCells(TapCells { time_ms, means }))?;
            self.end.dense_frames += 1;
        }
        if is_wanted {
            self.picture(frame, time_ms)?;
        }
        Ok(is_wanted)
    }

    fn picture(&mut self, frame: Frame, time_ms: u64) -> Result<(), MediaError> {
        let shown_px = self.shown_px(&frame);
        if let Some(edge_px) = self.job.luma_edge_px {
            let (width, height) = fit(shown_px, edge_px.min(TAP_LUMA_EDGE_PX_MAX).into());
            let orientation = self.track.orientation;
            let coded = if orientation.quarter_turns % 2 == 1 { (height, width) } else { (width, height) };
            let luma = turned(&self.means(&frame, coded)?, coded.0, orientation);
            let edge = |edge: usize| u16::try_from(edge).unwrap_or(u16::MAX);
            let picture = TapPicture { time_ms, width_px: edge(width), height_px: edge(height), luma };
            self.parent.send(&FromChild::TapPicture(picture))?;
        }
        self.stills.take(&frame, shown_px, time_ms)?;
        self.end.pictures += 1;
        self.last_ms = Some(time_ms);
        // The next one is wanted on the grid of spacings, so that early and late key frames do not change how many come.
        let spacing = self.spacing_ms;
        self.due_ms = (time_ms + spacing / 2).div_euclid(spacing).saturating_add(1).saturating_mul(spacing);
        Ok(())
    }

    /// Returns means of areas of a tagged picture as it is coded, from 0 to 255.
    fn means(&mut self, frame: &Frame, (columns, rows): (usize, usize)) -> Result<Vec<u8>, MediaError> {
        if let Some(luma) = frame.luma() {
            return Ok(luma.means(columns, rows, self.track.colour.full_range));
        }
        if self.to_luma_px != frame.size_px() {
            self.to_luma_px = frame.size_px();
            let edge = |edge: i32| u32::try_from(edge).unwrap_or(0);
            self.to_luma = Graph::scale(edge(self.to_luma_px.0), edge(self.to_luma_px.1), self.track.colour);
        }
        let converted = self.to_luma.run(frame.share()?)?;
        match converted.luma() {
            Some(luma) => Ok(luma.means(columns, rows, false)),
            None => Err(MediaError::Unsupported(format!("pixel format {} has no luma", frame.format()))),
        }
    }

    /// Returns the size of a picture when it is shown upright with square pixels.
    fn shown_px(&self, frame: &Frame) -> (u32, u32) {
        let (width, height) = frame.size_px();
        let edge = |edge: i32| u32::try_from(edge).unwrap_or(1).max(1);
        let shape = VideoTrack { coded_width_px: edge(width), coded_height_px: edge(height), ..self.track.clone() };
        shape.display_size_px()
    }

    fn time_ms(&self, ticks: i64) -> i64 {
        rescale(ticks.saturating_sub(self.zero_ticks), self.track.timescale.into(), 1000, Round::Down)
    }

    /// Returns where the packets so far end, for those without a time.
    fn end_ms(&self) -> i64 {
        let longest_ms = limits::SOURCE_DURATION_S_MAX * 1000;
        i64::try_from(self.end.video_end_ms.min(longest_ms)).unwrap_or(0)
    }
}
