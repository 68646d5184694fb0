//! `report.json` and the table that people read: what came in, what came out, how long it took.

use std::fmt::Write;

use mcsp_domain::{AudioPlan, Plan, Probe, Scheme, VideoPlan};
use mcsp_sandbox::child::{Isolation, Layer};
use mcsp_stages::package::PackagedRendition;
use mcsp_stages::transcode::ChunkReport;
use serde::{Deserialize, Serialize};

/// What a run made.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    /// The program's version.
    pub(crate) mcsp: String,
    /// The source; absent for `mcsp package`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<SourceReport>,
    /// The renditions, video first.
    pub(crate) variants: Vec<PackagedRendition>,
    /// `cbcs`, `cenc` or `clear`.
    pub(crate) scheme: String,
    /// Length of a segment.
    pub(crate) segment_s: f64,
    /// Frames in and out; absent for `mcsp package`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frames: Option<FrameReport>,
    /// How the decoding process was confined; absent for `mcsp package`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<IsolationReport>,
    /// Where the time went.
    pub(crate) times: Times,
}

/// The source of a run.
#[derive(Serialize, Deserialize)]
pub(crate) struct SourceReport {
    /// Its file name.
    pub(crate) name: String,
    /// SHA-256.
    pub(crate) sha256: String,
    /// Length of the output.
    pub(crate) duration_s: f64,
    /// What its headers say.
    pub(crate) probe: Probe,
    /// The video line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) video: Option<VideoPlan>,
    /// The audio line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audio: Option<AudioPlan>,
}

/// Video frames in and out.
#[derive(Serialize, Deserialize)]
pub(crate) struct FrameReport {
    /// Frames that the source shows.
    pub(crate) source: u64,
    /// Frames on every video variant.
    pub(crate) encoded: u64,
    /// What was left out, by chunk, with the reasons.
    pub(crate) dropped: Vec<String>,
}

/// How decoding was confined.
#[derive(Serialize, Deserialize)]
pub(crate) struct IsolationReport {
    /// The weakest level that a chunk was decoded under; `strict` means that every layer was in force.
    pub(crate) level: Isolation,
    /// The layers that were in force in the child of every chunk, and those that were not in some.
    pub(crate) layers: Vec<Layer>,
}

/// Wall-clock seconds of this invocation.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    /// Digest and analysis.
    pub(crate) analyse_s: f64,
    /// Decoding and encoding.
    pub(crate) transcode_s: f64,
    /// Encrypting and packaging.
    pub(crate) package_s: f64,
    /// All of it.
    pub(crate) total_s: f64,
}

/// Returns the frames in and out of a plan's chunks.
pub(crate) fn frames(plan: &Plan, chunks: &[ChunkReport]) -> Option<FrameReport> {
    let line = plan.video.as_ref().filter(|_| plan.ladder.video().next().is_some())?;
    let (mut encoded, mut dropped) = (0, Vec::new());
    for chunk in chunks {
        // All video variants of a chunk have the same frames, and the ladder lists video first.
        let Some(track) = chunk.tracks.iter().find(|track| track.variant == 0) else { continue };
        encoded += track.frames;
        dropped.extend(track.dropped.iter().map(|reason| format!("chunk {}: {reason}", chunk.chunk)));
    }
    Some(FrameReport { source: line.frame_count, encoded, dropped })
}

/// Returns how the chunks were confined: a resumed run may have chunks of two levels, and the weakest is the truth.
pub(crate) fn isolation(chunks: &[ChunkReport]) -> IsolationReport {
    let is_reduced = chunks.iter().any(|chunk| chunk.isolation == Isolation::Reduced);
    let mut layers: Vec<Layer> = Vec::new();
    for layer in chunks.iter().flat_map(|chunk| &chunk.layers) {
        match layers.iter_mut().find(|known| known.name == layer.name) {
            Some(known) if known.in_force && !layer.in_force => *known = layer.clone(),
            Some(_) => {}
            None => layers.push(layer.clone()),
        }
    }
    IsolationReport { level: if is_reduced { Isolation::Reduced } else { Isolation::Strict }, layers }
}

/// Returns the scheme's name.
pub(crate) fn scheme_name(scheme: Option<Scheme>) -> String {
    scheme.map_or_else(|| "clear".to_owned(), |scheme| scheme.to_string())
}

/// Returns the table of what came out.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<16} {:<11} {:>11} {:>7} {:>6} {:>10} {:>10} {:>10} {:>9}",
        "rendition", "codec", "size", "frames", "segs", "bytes", "avg kb/s", "peak kb/s", "seconds"
    );
    for variant in &report.variants {
        let size = match (variant.width_px, variant.height_px, variant.sample_rate_hz) {
            (Some(width), Some(height), _) => format!("{width}x{height}"),
            (_, _, Some(rate)) => format!("{rate} Hz"),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "{:<16} {:<11} {:>11} {:>7} {:>6} {:>10} {:>10} {:>10} {:>9.3}",
            variant.name.as_str(),
            variant.codec,
            size,
            variant.frames,
            variant.segments,
            variant.bytes,
            variant.average_bps / 1000,
            variant.peak_bps / 1000,
            variant.duration_s
        );
    }
    let isolation = report.isolation.as_ref().map_or(String::new(), |isolation| {
        let in_force: Vec<&str> =
            isolation.layers.iter().filter(|layer| layer.in_force).map(|layer| layer.name.as_str()).collect();
        let level = match isolation.level {
            Isolation::Strict => "strict",
            Isolation::Reduced => "reduced",
        };
        format!("   isolation {level} ({})", in_force.join(", "))
    });
    let _ = writeln!(out, "encryption {}{isolation}", report.scheme);
    let Times { analyse_s, transcode_s, package_s, total_s } = report.times;
    let _ = writeln!(
        out,
        "seconds    analysis {analyse_s:.1}, transcoding {transcode_s:.1}, packaging {package_s:.2}, in all {total_s:.1}"
    );
    for reason in report.frames.iter().flat_map(|frames| &frames.dropped) {
        let _ = writeln!(out, "dropped    {reason}");
    }
    out
}
