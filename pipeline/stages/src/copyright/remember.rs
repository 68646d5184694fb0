//! What is remembered of a source: its taps through the hashers, which run on a thread of their own.

use mcsp_domain::Probe;
use mcsp_fingerprint::audio::AudioHasher;
use mcsp_fingerprint::video::{Frame, VideoHasher};
use mcsp_fingerprint::{Fingerprint, FingerprintError};
use mcsp_runtime::StageError;
use mcsp_sandbox::child::{AudioTaps, TAP_LUMA_EDGE_PX_MAX, TAP_SAMPLE_RATE_HZ, VideoTaps};
use mcsp_sandbox::{Sandbox, Source};
use tokio::sync::mpsc;

use crate::taps::{OnPermille, Tap, Taps, TapsOrder};

/// Taps that wait for the hashers.
const WAITING_MAX: usize = 8;
/// Pictures of one fingerprint: a day at one in two seconds, or seven hours of a reference.
const PICTURES_MAX: u32 = 50_000;
/// Longer uploads are looked at by key frames, which encoders set about every two seconds; shorter ones more closely.
const UPLOAD_EVERY_MS: (u64, u64) = (500, 2000);
/// Pictures that a short upload gives.
const UPLOAD_PICTURES: u64 = 240;
/// A reference has a picture near every instant that an upload can show.
const REFERENCE_EVERY_MS: u32 = 500;
/// Sound of one fingerprint: 24 h.
const SAMPLES_MAX: u64 = 24 * 3600 * TAP_SAMPLE_RATE_HZ as u64;

/// How closely pictures are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Density {
    /// Two pictures a second of short sources, key frames of long ones.
    Upload,
    /// Two pictures a second of all, for what others are compared with.
    Reference,
}

/// Returns the fingerprint of a source.
///
/// # Errors
/// `Reject` when the source is damaged, not supported or over a limit; `Retry` when a child was killed.
pub async fn remember(
    source: &Source,
    sandbox: &Sandbox,
    density: Density,
    attempt: u32,
    on: OnPermille<'_>,
) -> Result<Fingerprint, StageError> {
    let mut taps = Taps::start(source, sandbox, attempt, |probe| order(probe, density)).await?;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let hashed = tokio::task::spawn_blocking(move || hash(receiver));
    while let Some(tap) = taps.next(on).await? {
        if sender.send(tap).await.is_err() {
            // The hashers have ended early, and say why.
            break;
        }
    }
    drop(sender);
    let hashed = hashed.await.map_err(|error| StageError::retry("hashing broke off", error))?;
    hashed.map_err(|error| StageError::reject("the source gives no fingerprint", error))
}

fn order(probe: &Probe, density: Density) -> TapsOrder {
    let every_ms = match density {
        Density::Upload => {
            let (shortest_ms, longest_ms) = UPLOAD_EVERY_MS;
            let spread_ms = (probe.duration_us / 1000 / UPLOAD_PICTURES).clamp(shortest_ms, longest_ms);
            u32::try_from(spread_ms).unwrap_or(REFERENCE_EVERY_MS)
        }
        Density::Reference => REFERENCE_EVERY_MS,
    };
    let video = VideoTaps {
        every_ms,
        pictures_max: PICTURES_MAX,
        luma_edge_px: Some(TAP_LUMA_EDGE_PX_MAX),
        dense: None,
        storyboard: None,
        poster: None,
    };
    TapsOrder { video: Some(video), audio: Some(AudioTaps { samples_max: SAMPLES_MAX }) }
}

fn hash(mut taps: mpsc::Receiver<Tap>) -> Result<Fingerprint, FingerprintError> {
    let (mut video, mut audio) = (VideoHasher::new(), AudioHasher::new());
    while let Some(tap) = taps.blocking_recv() {
        match tap {
            Tap::Picture(picture) => video.push(Frame {
                time_ms: picture.time_ms,
                width_px: picture.width_px.into(),
                height_px: picture.height_px.into(),
                luma: &picture.luma,
            })?,
            Tap::Sound(sound) => audio.push(&sound.samples)?,
            Tap::Cells(_) | Tap::Still(_) => {}
        }
    }
    Ok(Fingerprint { video: video.finish(), audio: audio.finish() })
}
