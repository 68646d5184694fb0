//! One variant's chunk object in the making: access units in, one `moof` a GOP out to the store.

use bytes::Bytes;
use mcsp_domain::{AAC_FRAME_SAMPLES, AUDIO_PRIMING_FRAMES, Grid, ObjectKey, Plan, RenditionName, Variant};
use mcsp_packager::bmff::{FrameIn, fragment, init_segment};
use mcsp_packager::{AacConfig, AvcConfig, MediaConfig, TrackConfig};
use mcsp_runtime::{ObjectStore, PutIf, StageError, Upload};

use crate::transcode::TrackReport;

/// Bytes of one GOP that a writer holds before it writes: over this, the child has broken its rate bound.
const FRAGMENT_BYTES_MAX: usize = 512 << 20;

/// Collects a track's access units and writes its chunk object fragment by fragment.
pub(crate) struct TrackWriter {
    name: RenditionName,
    grid: Grid,
    /// Everything but the decoder configuration, which the child sends.
    template: TrackConfig,
    report: TrackReport,
    state: State,
}

enum State {
    Waiting,
    Open(Open),
    Finished,
}

struct Open {
    upload: Box<dyn Upload>,
    pending: Vec<Frame>,
    pending_bytes: usize,
    sequence: u32,
    last_pts: i64,
}

struct Frame {
    key: bool,
    pts: i64,
    bytes: Vec<u8>,
}

impl Frame {
    fn borrow(&self) -> FrameIn<'_> {
        FrameIn { data: &self.bytes, pts: self.pts, key: self.key }
    }
}

impl TrackWriter {
    /// Returns the writer of one variant; `variant_index` is its place in the ladder and the track's number.
    pub(crate) fn new(plan: &Plan, variant: &Variant, variant_index: u16) -> Self {
        Self {
            name: variant.name().clone(),
            grid: plan.grid,
            template: template(plan, variant),
            report: TrackReport { variant: variant_index, frames: 0, sample_bytes: 0, dropped: Vec::new() },
            state: State::Waiting,
        }
    }

    /// Takes the decoder configuration and begins the object with its header.
    pub(crate) async fn configure(
        &mut self,
        decoder_config: Vec<u8>,
        chunk_index: u32,
        store: &dyn ObjectStore,
    ) -> Result<(), StageError> {
        if !matches!(self.state, State::Waiting) {
            return Err(self.broken("was configured twice"));
        }
        match &mut self.template.media {
            MediaConfig::Avc(avc) => avc.decoder_config = decoder_config,
            MediaConfig::Aac(aac) => aac.audio_specific_config = decoder_config,
        }
        let mut upload = store.begin(&ObjectKey::chunk(&self.name, chunk_index)).await?;
        upload.write(Bytes::from(init_segment(&self.template, None))).await?;
        let open = Open { upload, pending: Vec::new(), pending_bytes: 0, sequence: 1, last_pts: i64::MIN };
        self.state = State::Open(open);
        Ok(())
    }

    /// Takes one access unit in decode order; returns whether it completed a fragment.
    pub(crate) async fn push(&mut self, key: bool, pts: i64, bytes: Vec<u8>) -> Result<bool, StageError> {
        let starts_fragment = key && self.starts_gop(pts);
        let State::Open(open) = &mut self.state else {
            return Err(self.broken("sent a sample before its configuration"));
        };
        let complete = starts_fragment && !open.pending.is_empty();
        if complete {
            open.write_fragment(pts).await.map_err(|error| named(&self.name, error))?;
        }
        self.report.frames += 1;
        self.report.sample_bytes += bytes.len() as u64;
        open.last_pts = open.last_pts.max(pts);
        open.pending_bytes += bytes.len();
        open.pending.push(Frame { key, pts, bytes });
        if open.pending_bytes > FRAGMENT_BYTES_MAX {
            return Err(self.broken("passed the bytes that one GOP may have"));
        }
        Ok(complete)
    }

    /// Writes the last fragment and makes the object visible. `next_pts` is the time of the frame after the chunk.
    pub(crate) async fn finish(&mut self, next_pts: i64, frames: u64, dropped: Vec<String>) -> Result<(), StageError> {
        let State::Open(mut open) = std::mem::replace(&mut self.state, State::Finished) else {
            return Err(self.broken("ended without a sample"));
        };
        if frames != self.report.frames {
            return Err(self.broken(&format!("claims {frames} frames, {} came", self.report.frames)));
        }
        open.write_fragment(next_pts).await.map_err(|error| named(&self.name, error))?;
        open.upload.finish(PutIf::Absent).await?;
        self.report.dropped = dropped;
        Ok(())
    }

    /// Returns the finished track's report.
    pub(crate) fn into_report(self) -> Result<TrackReport, StageError> {
        match self.state {
            State::Finished => Ok(self.report),
            _ => Err(self.broken("did not end")),
        }
    }

    /// Returns the output time reached, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        match &self.state {
            State::Open(open) => open.last_pts as f64 / f64::from(self.template.timescale),
            State::Waiting | State::Finished => 0.0,
        }
    }

    /// Returns the frames written so far.
    pub(crate) fn frames(&self) -> u64 {
        self.report.frames
    }

    /// Video: every key frame starts a GOP. Audio: the first frame at or after a grid point does.
    fn starts_gop(&self, pts: i64) -> bool {
        let State::Open(open) = &self.state else { return false };
        let Some(first) = open.pending.first() else { return true };
        match &self.template.media {
            MediaConfig::Avc(_) => true,
            MediaConfig::Aac(_) => {
                let delay = self.template.edit_media_time;
                let gop = |pts: i64| self.grid.gop_of(pts - delay, self.template.timescale);
                gop(pts) > gop(first.pts)
            }
        }
    }

    fn broken(&self, what: &str) -> StageError {
        StageError::refuse(format!("track {} {what}", self.name))
    }
}

impl Open {
    /// Writes the pending samples as one fragment that ends at `next_pts`.
    async fn write_fragment(&mut self, next_pts: i64) -> Result<(), StageError> {
        let frames: Vec<FrameIn<'_>> = self.pending.iter().map(Frame::borrow).collect();
        let bytes = fragment(self.sequence, &frames, next_pts)
            .map_err(|error| StageError::reject("samples make no fragment", error))?;
        drop(frames);
        self.sequence += 1;
        self.pending.clear();
        self.pending_bytes = 0;
        self.upload.write(Bytes::from(bytes)).await?;
        Ok(())
    }
}

fn named(name: &RenditionName, error: StageError) -> StageError {
    match error {
        StageError::Reject(what, cause) => StageError::Reject(format!("track {name}: {what}"), cause),
        retry @ StageError::Retry(..) => retry,
    }
}

/// Returns a variant's sample entry but for the decoder configuration.
fn template(plan: &Plan, variant: &Variant) -> TrackConfig {
    match variant {
        Variant::Video(video) => {
            let source = plan.probe.video.as_ref();
            let pixels = |edge_px: u32| u16::try_from(edge_px).unwrap_or(u16::MAX);
            TrackConfig {
                timescale: source.map_or(90_000, |track| track.timescale),
                language: "und".to_owned(),
                edit_media_time: 0,
                media: MediaConfig::Avc(AvcConfig {
                    width_px: pixels(video.width_px),
                    height_px: pixels(video.height_px),
                    colour: source.map_or(mcsp_domain::Colour::UNSPECIFIED, |track| track.colour),
                    decoder_config: Vec::new(),
                }),
            }
        }
        Variant::Audio(audio) => {
            let sample_rate_hz = plan.audio.as_ref().map_or(48_000, |line| line.sample_rate_hz);
            TrackConfig {
                timescale: sample_rate_hz,
                language: plan.probe.audio.as_ref().map_or_else(|| "und".to_owned(), |track| track.language.clone()),
                edit_media_time: AUDIO_PRIMING_FRAMES * AAC_FRAME_SAMPLES,
                media: MediaConfig::Aac(AacConfig {
                    sample_rate_hz,
                    channels: audio.channels.into(),
                    audio_specific_config: Vec::new(),
                }),
            }
        }
    }
}
