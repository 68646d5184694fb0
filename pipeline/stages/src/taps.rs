//! Taps: small pictures, sound and stills of a source, pulled one by one out of the confined child. In: a source and what is
//! wanted. Out: taps in rising time, each checked against what was ordered.

use mcsp_domain::Probe;
use mcsp_runtime::StageError;
use mcsp_sandbox::child::{
    AudioTaps, FromChild, StillKind, TapCells, TapPicture, TapSound, TapStill, TapsEnd, VideoTaps, Work,
};
use mcsp_sandbox::{Sandbox, Session, Source};

use crate::plan::probe;
use crate::transcode::{stage_error, start};

/// What is wanted of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapsOrder {
    /// Of its pictures.
    pub video: Option<VideoTaps>,
    /// Of its sound.
    pub audio: Option<AudioTaps>,
}

/// One tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tap {
    /// A small luma picture.
    Picture(TapPicture),
    /// A frame of a dense stretch.
    Cells(TapCells),
    /// A piece of sound, which follows the one before it.
    Sound(TapSound),
    /// A JPEG file.
    Still(TapStill),
}

/// A sink of progress in thousandths; it must not block.
pub type OnPermille<'a> = &'a (dyn Fn(u16) + Send + Sync);

/// A source being tapped. Nothing is decoded while nobody asks for the next tap; dropping it ends the child.
pub struct Taps {
    session: Session,
    probe: Probe,
    attempt: u32,
    guard: Guard,
    end: Option<TapsEnd>,
}

impl Taps {
    /// Reads the headers in a child of their own, since they bound the second child's work, lets `order` choose by them,
    /// and starts tapping.
    ///
    /// # Errors
    /// `Reject` when the source is damaged, not supported or over a limit; `Retry` when a child was killed.
    pub async fn start(
        source: &Source,
        sandbox: &Sandbox,
        attempt: u32,
        order: impl FnOnce(&Probe) -> TapsOrder,
    ) -> Result<Self, StageError> {
        let headers = probe(source, sandbox, attempt).await?;
        let order = order(&headers);
        let work = Work::Taps { video: order.video.clone(), audio: order.audio };
        let session = start(sandbox, source, work, Some(&headers), attempt).await?;
        Ok(Self { session, probe: headers, attempt, guard: Guard::new(order), end: None })
    }

    /// Returns what the headers say.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Returns what the taps covered, once `next` has returned nothing.
    pub fn end(&self) -> Option<&TapsEnd> {
        self.end.as_ref()
    }

    /// Returns the next tap; nothing when the source is done.
    ///
    /// # Errors
    /// As `start`, and `Reject` when the child answers with what was not ordered.
    pub async fn next(&mut self, on: OnPermille<'_>) -> Result<Option<Tap>, StageError> {
        let attempt = self.attempt;
        while let Some(message) = self.session.next().await.map_err(|error| stage_error(error, attempt))? {
            let tap = match message {
                FromChild::TapPicture(picture) => Tap::Picture(picture),
                FromChild::TapCells(cells) => Tap::Cells(cells),
                FromChild::TapSound(sound) => Tap::Sound(sound),
                FromChild::TapStill(still) => Tap::Still(still),
                FromChild::Progress { permille } => {
                    on(permille);
                    continue;
                }
                FromChild::TapsEnd(end) if self.end.is_none() => {
                    self.end = Some(end);
                    continue;
                }
                FromChild::Probe(_) => continue,
                _ => return Err(StageError::refuse("the child answered taps with something else")),
            };
            if self.end.is_some() {
                return Err(StageError::refuse("the child told a tap after the last one"));
            }
            self.guard.check(&tap)?;
            return Ok(Some(tap));
        }
        match self.end {
            Some(_) => Ok(None),
            None => Err(StageError::refuse("the child ended before its taps did")),
        }
    }
}

/// Holds a child to what was ordered.
struct Guard {
    order: TapsOrder,
    pictures: u32,
    picture_ms: Option<u64>,
    cells_ms: Option<u64>,
    samples: u64,
    posters: u32,
    tiles: u32,
}

impl Guard {
    fn new(order: TapsOrder) -> Self {
        Self { order, pictures: 0, picture_ms: None, cells_ms: None, samples: 0, posters: 0, tiles: 0 }
    }

    fn check(&mut self, tap: &Tap) -> Result<(), StageError> {
        let video = self.order.video.as_ref();
        let pictures_max = video.map_or(0, |video| video.pictures_max);
        let fits = match tap {
            Tap::Picture(picture) => {
                self.pictures += 1;
                let edge = video.and_then(|video| video.luma_edge_px).unwrap_or(0);
                let is_later = self.picture_ms.replace(picture.time_ms).is_none_or(|last| last < picture.time_ms);
                is_later && self.pictures <= pictures_max && picture.width_px.max(picture.height_px) <= edge
            }
            Tap::Cells(cells) => {
                let is_ordered = video.and_then(|video| video.dense).is_some_and(|dense| dense.covers(cells.time_ms));
                let last = self.cells_ms.replace(cells.time_ms);
                is_ordered && last.is_none_or(|last| last <= cells.time_ms)
            }
            Tap::Sound(sound) => {
                let follows = sound.first_sample == self.samples;
                self.samples = self.samples.saturating_add(sound.samples.len() as u64);
                follows && self.samples <= self.order.audio.map_or(0, |audio| audio.samples_max)
            }
            Tap::Still(still) if still.kind == StillKind::Poster => {
                self.posters += 1;
                self.posters == 1 && video.is_some_and(|video| video.poster.is_some())
            }
            Tap::Still(still) => {
                self.tiles = self.tiles.saturating_add(u32::try_from(still.times_ms.len()).unwrap_or(u32::MAX));
                let is_rising = still.times_ms.is_sorted_by(|one, next| one < next);
                is_rising && self.tiles <= pictures_max && video.is_some_and(|video| video.storyboard.is_some())
            }
        };
        if fits { Ok(()) } else { Err(StageError::refuse("the child told a tap that was not ordered")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(time_ms: u64) -> Tap {
        Tap::Picture(TapPicture { time_ms, width_px: 2, height_px: 1, luma: vec![0, 1] })
    }

    fn order(pictures_max: u32) -> TapsOrder {
        let video = VideoTaps {
            every_ms: 1000,
            pictures_max,
            luma_edge_px: Some(2),
            dense: None,
            storyboard: None,
            poster: None,
        };
        TapsOrder { video: Some(video), audio: Some(AudioTaps { samples_max: 3 }) }
    }

    #[test]
    fn a_child_is_held_to_its_order() {
        let mut guard = Guard::new(order(2));
        assert!(guard.check(&picture(0)).is_ok());
        assert!(guard.check(&picture(0)).is_err(), "time stands still");
        assert!(Guard::new(order(0)).check(&picture(0)).is_err(), "one too many");
        let cells = Tap::Cells(TapCells { time_ms: 0, means: Vec::new() });
        assert!(Guard::new(order(1)).check(&cells).is_err(), "nobody asked for cells");
    }

    #[test]
    fn sound_has_neither_gaps_nor_more_than_was_asked_for() {
        let mut guard = Guard::new(order(0));
        let sound = |first_sample, count| Tap::Sound(TapSound { first_sample, samples: vec![0; count] });
        assert!(guard.check(&sound(0, 2)).is_ok());
        assert!(guard.check(&sound(2, 1)).is_ok());
        assert!(guard.check(&sound(3, 1)).is_err());
        assert!(Guard::new(order(0)).check(&sound(1, 1)).is_err());
    }
}
