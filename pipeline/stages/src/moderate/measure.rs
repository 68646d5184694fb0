//! What the rules judge by: means and spreads of small pictures, and flashing. In: a source. Out: numbers.

use mcsp_domain::Probe;
use mcsp_events::TimeRange;
use mcsp_runtime::StageError;
use mcsp_sandbox::child::{DenseTap, TapPicture, VideoTaps};
use mcsp_sandbox::{Sandbox, Source};

use super::flashes::FlashMeter;
use crate::taps::{OnPermille, Tap, Taps, TapsOrder};

/// The longer side of a picture that is measured.
const EDGE_PX: u16 = 64;
/// Pictures of one film, about.
const PICTURES: u64 = 100;
/// The most pictures, whatever the headers claim.
const PICTURES_MAX: u32 = 400;
/// Pictures are not nearer than this.
const EVERY_MS_MIN: u64 = 2000;
/// Every frame of the first seconds is watched, and of short stretches from then on: a minute in all.
const FIRST_MS: u32 = 10_000;
const STRETCH_MS: u32 = 2000;
const STRETCHES: u64 = 25;
const STRETCH_EVERY_MS_MIN: u64 = 20_000;

/// What was measured of a film.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its length: where its pictures end, or what its headers claim where it has none.
    pub duration_ms: u64,
    /// Whether it has pictures.
    pub has_video: bool,
    /// Pictures from all over it, in rising time.
    pub pictures: Vec<Picture>,
    /// How much of it was watched frame by frame.
    pub watched_ms: u64,
    /// Where it flashes, as far as it was watched.
    pub flashes: Vec<TimeRange>,
}

/// One measured picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its time.
    pub time_ms: u64,
    /// The mean of its luma, 0 is black and 255 white.
    pub mean: u8,
    /// The standard deviation of its luma.
    pub spread: u8,
}

/// Measures a source.
///
/// # Errors
/// `Reject` when the source is damaged, not supported or over a limit; `Retry` when a child was killed.
pub async fn measure(
    source: &Source,
    sandbox: &Sandbox,
    attempt: u32,
    on: OnPermille<'_>,
) -> Result<Measured, StageError> {
    let mut taps = Taps::start(source, sandbox, attempt, order).await?;
    let mut flashes = FlashMeter::new();
    let mut pictures = Vec::new();
    while let Some(tap) = taps.next(on).await? {
        match tap {
            Tap::Picture(picture) => pictures.push(picture_of(&picture)),
            Tap::Cells(cells) => flashes.push(&cells),
            Tap::Sound(_) | Tap::Still(_) => {}
        }
    }
    let video_ms = taps.end().map_or(0, |end| end.video_end_ms);
    let claimed_ms = taps.probe().duration_us / 1000;
    let (flashes, watched_ms) = flashes.finish();
    Ok(Measured {
        duration_ms: if video_ms > 0 { video_ms } else { claimed_ms },
        has_video: taps.probe().video.is_some(),
        pictures,
        watched_ms,
        flashes,
    })
}

fn order(probe: &Probe) -> TapsOrder {
    let claimed_ms = probe.duration_us / 1000;
    let spacing = |wanted_ms: u64| u32::try_from(wanted_ms).unwrap_or(u32::MAX);
    let dense = DenseTap {
        first_ms: FIRST_MS,
        window_ms: STRETCH_MS,
        every_ms: spacing((claimed_ms / STRETCHES).max(STRETCH_EVERY_MS_MIN)),
    };
    let video = VideoTaps {
        every_ms: spacing((claimed_ms / PICTURES).max(EVERY_MS_MIN)),
        pictures_max: PICTURES_MAX,
        luma_edge_px: Some(EDGE_PX),
        dense: Some(dense),
        storyboard: None,
        poster: None,
    };
    TapsOrder { video: Some(video), audio: None }
}

/// Measures one picture.
fn picture_of(picture: &TapPicture) -> Picture {
    let count = picture.luma.len().max(1) as f64;
    let mean = picture.luma.iter().map(|&luma| f64::from(luma)).sum::<f64>() / count;
    let squares: f64 = picture.luma.iter().map(|&luma| (f64::from(luma) - mean).powi(2)).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 before")]
    let byte = |value: f64| value.round().clamp(0.0, 255.0) as u8;
    Picture { time_ms: picture.time_ms, mean: byte(mean), spread: byte((squares / count).sqrt()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_its_mean_and_its_spread() {
        let picture =
            |luma: &[u8]| picture_of(&TapPicture { time_ms: 5, width_px: 2, height_px: 2, luma: luma.to_vec() });
        assert_eq!(picture(&[7, 7, 7, 7]), Picture { time_ms: 5, mean: 7, spread: 0 });
        assert_eq!(picture(&[0, 0, 200, 200]), Picture { time_ms: 5, mean: 100, spread: 100 });
    }
}
