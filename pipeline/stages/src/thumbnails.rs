//! The thumbnails stage: a poster and a storyboard beside the segments. In: a variant that is complete. Out: objects of the
//! package's folder and `media.thumbnails.generated`, once per plan; the storyboard's text is stored last, so that a folder
//! with it is complete.
//!
//! Made of the clear chunk objects and not of the upload, which is large and may have moved to another tier: the storyboard
//! of the smallest rendition, read as one film; the poster of one chunk of a larger one, at the instant whose picture is
//! the least uniform of all.

mod choose;
mod film;
mod vtt;

use bytes::Bytes;
use mcsp_domain::{ObjectKey, Plan};
use mcsp_events::{Asset, Outgoing, ThumbnailsGenerated, Topic, TranscodingCompleted};
use mcsp_runtime::stage::{Context, Stage};
use mcsp_runtime::{ObjectStore, PutIf, StageError};
use mcsp_sandbox::child::{PosterTap, StillKind, StoryboardTap, TapStill, VideoTaps};
use mcsp_sandbox::{Sandbox, Source};

use crate::assemble::{assemble, missing_chunk};
use crate::stores::Stores;
use crate::taps::{OnPermille, Tap, Taps, TapsOrder};
use choose::Choice;
use vtt::Tile;

/// The longer side of a tile: what players show above their bar.
const TILE_EDGE_PX: u16 = 160;
/// Tiles of a sheet, across and down.
const SHEET: (u16, u16) = (10, 10);
/// About a hundred tiles of a film, none nearer to the next than a GOP and none further than players jump.
const TILES: u64 = 100;
const TILE_EVERY_MS: (u64, u64) = (2000, 10_000);
/// The most tiles: 24 h at one in ten seconds, and a half more.
const TILES_MAX: u32 = 13_000;
/// The longer side of the picture that candidates are compared by.
const CANDIDATE_EDGE_PX: u16 = 64;
/// The longer side of a poster.
const POSTER_EDGE_PX: u16 = 1280;
/// Pictures of the one chunk that a poster is sought in: ten minutes of GOPs.
const POSTER_PICTURES_MAX: u32 = 600;
const POSTER_EVERY_MS: u32 = 1000;

/// The stage.
pub struct ThumbnailGenerator {
    stores: Stores,
    sandbox: Sandbox,
}

/// What a film's storyboard run gave.
struct Board {
    sheets: Vec<TapStill>,
    choice: Choice,
}

impl ThumbnailGenerator {
    /// Makes the stage.
    pub fn new(stores: Stores, sandbox: Sandbox) -> Self {
        Self { stores, sandbox }
    }

    async fn completed(&self, event: TranscodingCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let plan = self.stores.plan(&event.asset, event.plan).await?;
        let work = self.stores.work(&event.asset, event.plan)?;
        let target = self.stores.package(&event.asset, event.plan)?;
        // The variant whose completion comes last finds all of them; sound alone has nothing to show.
        if plan.video.is_none() || missing_chunk(&plan, work.as_ref()).await?.is_some() {
            return Ok(Vec::new());
        }
        if target.head(&ObjectKey::storyboard()).await?.is_some() {
            return said(event.asset, &plan, target.as_ref()).await;
        }
        let (renditions, _) = assemble(&plan, work.as_ref()).await?;
        let Some(film) = film::smallest(&plan, &renditions) else { return Ok(Vec::new()) };
        let source = film::join(film, work.clone()).await?;
        let on = |permille: u16| cx.progress(permille / 10 * 9, "storyboard");
        let board = self.storyboard(&plan, &source, cx.attempt(), &on).await?;
        let best_ms = board.choice.time_ms();
        let poster = match film::poster_chunk(&plan, &renditions, best_ms) {
            Some((start_ms, key)) => {
                let source = film::whole(key, work.clone()).await?;
                self.poster(&source, best_ms.saturating_sub(start_ms), cx.attempt()).await?
            }
            None => None,
        };
        store(target.as_ref(), board.sheets, poster, duration_ms(&plan)).await?;
        said(event.asset, &plan, target.as_ref()).await
    }

    /// Makes the sheets and finds the instant of the poster.
    async fn storyboard(
        &self,
        plan: &Plan,
        source: &Source,
        attempt: u32,
        on: OnPermille<'_>,
    ) -> Result<Board, StageError> {
        let (nearest_ms, furthest_ms) = TILE_EVERY_MS;
        let every_ms = (duration_ms(plan) / TILES).clamp(nearest_ms, furthest_ms);
        let (columns, rows) = SHEET;
        let video = VideoTaps {
            every_ms: u32::try_from(every_ms).unwrap_or(u32::MAX),
            pictures_max: TILES_MAX,
            luma_edge_px: Some(CANDIDATE_EDGE_PX),
            dense: None,
            storyboard: Some(StoryboardTap { tile_edge_px: TILE_EDGE_PX, columns, rows }),
            poster: None,
        };
        let order = TapsOrder { video: Some(video), audio: None };
        let mut taps = Taps::start(source, &self.sandbox, attempt, |_| order).await?;
        let mut board = Board { sheets: Vec::new(), choice: Choice::default() };
        while let Some(tap) = taps.next(on).await? {
            match tap {
                Tap::Picture(picture) => board.choice.look(&picture),
                Tap::Still(still) if still.kind == StillKind::Sheet => board.sheets.push(still),
                Tap::Still(_) | Tap::Cells(_) | Tap::Sound(_) => {}
            }
        }
        Ok(board)
    }

    /// Makes the poster of one chunk; nothing where none of its pictures decodes.
    async fn poster(&self, chunk: &Source, at_ms: u64, attempt: u32) -> Result<Option<TapStill>, StageError> {
        let video = VideoTaps {
            every_ms: POSTER_EVERY_MS,
            pictures_max: POSTER_PICTURES_MAX,
            luma_edge_px: None,
            dense: None,
            storyboard: None,
            poster: Some(PosterTap { edge_px: POSTER_EDGE_PX, at_ms }),
        };
        let order = TapsOrder { video: Some(video), audio: None };
        let mut taps = Taps::start(chunk, &self.sandbox, attempt, |_| order).await?;
        while let Some(tap) = taps.next(&|_| {}).await? {
            if let Tap::Still(still) = tap {
                return Ok(Some(still));
            }
        }
        Ok(None)
    }
}

impl Stage for ThumbnailGenerator {
    const NAME: &'static str = "thumbnail-generator";
    const GROUP: &'static str = "thumbnail-generator";
    type Input = TranscodingCompleted;
    const OUTPUTS: &'static [Topic] = &[Topic::ThumbnailsGenerated];

    async fn handle(&self, input: TranscodingCompleted, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        self.completed(input, cx).await
    }
}

/// Returns the event about what is stored.
async fn said(asset: Asset, plan: &Plan, target: &dyn ObjectStore) -> Result<Vec<Outgoing>, StageError> {
    let folder = ObjectKey::package(asset.content, asset.revision, plan.id);
    let inside =
        |key: ObjectKey| folder.join(&key).map_err(|error| StageError::reject("the package's key is too long", error));
    let poster = match target.head(&ObjectKey::poster()).await? {
        Some(_) => Some(inside(ObjectKey::poster())?),
        None => None,
    };
    let event = ThumbnailsGenerated { plan: plan.id, poster, storyboard: inside(ObjectKey::storyboard())?, asset };
    Ok(vec![Outgoing::once(plan.id.as_bytes(), "thumbnails", &event)])
}

/// Stores everything, the text last.
async fn store(
    target: &dyn ObjectStore,
    sheets: Vec<TapStill>,
    poster: Option<TapStill>,
    duration_ms: u64,
) -> Result<(), StageError> {
    let mut tiles: Vec<Tile> = Vec::new();
    for (index, sheet) in (0_u32..).zip(sheets) {
        tiles.extend(vtt::tiles(index, &sheet));
        target.put(&ObjectKey::storyboard_sheet(index), Bytes::from(sheet.jpeg), PutIf::Always).await?;
    }
    if let Some(poster) = poster {
        target.put(&ObjectKey::poster(), Bytes::from(poster.jpeg), PutIf::Always).await?;
    }
    let text = vtt::write(&tiles, duration_ms);
    target.put(&ObjectKey::storyboard(), Bytes::from(text), PutIf::Always).await?;
    Ok(())
}

/// Returns the length of the pictures, in milliseconds.
fn duration_ms(plan: &Plan) -> u64 {
    let line = plan.probe.video.as_ref().zip(plan.video.as_ref());
    line.map_or(0, |(track, line)| {
        let ticks = line.end_pts.saturating_sub(line.zero_pts);
        let duration_ms = mcsp_domain::rescale(ticks, track.timescale.into(), 1000, mcsp_domain::Round::Up);
        u64::try_from(duration_ms).unwrap_or(0)
    })
}
