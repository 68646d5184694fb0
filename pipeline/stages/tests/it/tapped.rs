//! Taps as stages pull them: whole, in order, from any kind of source; what is no media ends as a rejection.

use std::sync::atomic::{AtomicU16, Ordering};

use mcsp_fixtures::media;
use mcsp_runtime::StageError;
use mcsp_sandbox::child::{AudioTaps, VideoTaps};
use mcsp_sandbox::{Piece, Source};
use mcsp_stages::taps::{Tap, Taps, TapsOrder};

use crate::world::{World, file, sandbox};

fn order() -> TapsOrder {
    let video = VideoTaps {
        every_ms: 1000,
        pictures_max: 3,
        luma_edge_px: Some(64),
        dense: None,
        storyboard: None,
        poster: None,
    };
    TapsOrder { video: Some(video), audio: Some(AudioTaps { samples_max: 20_000 }) }
}

async fn taps_of(source: &Source) -> Result<Vec<Tap>, StageError> {
    let told = AtomicU16::new(0);
    let on = |permille: u16| {
        assert!(told.fetch_max(permille, Ordering::Relaxed) <= permille);
    };
    let mut taps = Taps::start(source, &sandbox(), 1, |_| order()).await?;
    let mut all = Vec::new();
    while let Some(tap) = taps.next(&on).await? {
        all.push(tap);
    }
    assert!(told.load(Ordering::Relaxed) > 500, "progress was told to {told:?} permille");
    assert!(taps.end().unwrap().is_cut, "the clip has more sound than was asked for");
    Ok(all)
}

#[tokio::test]
async fn a_film_in_pieces_gives_the_taps_of_the_whole() {
    let world = World::new();
    let path = media("cups-720p30-4s.mp4");
    let upload = world.uploaded(&path, "").await;
    let (key, len_bytes) = (upload.source.key, upload.source.len_bytes);
    let cuts = [0, 1000, 1001, len_bytes / 2, len_bytes];
    let pieces = cuts.windows(2).map(|cut| Piece { key: key.clone(), start_bytes: cut[0], end_bytes: cut[1] });
    let joined = Source::joined(world.store.clone(), pieces.collect());
    assert_eq!(joined.len_bytes(), len_bytes);
    let taps = taps_of(&joined).await.unwrap();
    assert_eq!(taps, taps_of(&file(&path)).await.unwrap());
    let times = taps.iter().filter_map(|tap| match tap {
        Tap::Picture(picture) => Some(picture.time_ms),
        _ => None,
    });
    // Three pictures are spread over four seconds.
    assert_eq!(times.collect::<Vec<_>>(), [0, 1368, 2702]);
    let samples: usize = taps.iter().map(|tap| if let Tap::Sound(sound) = tap { sound.samples.len() } else { 0 }).sum();
    assert_eq!(samples, 20_000);
}

#[tokio::test]
async fn what_is_no_media_is_rejected_with_its_reason() {
    let world = World::new();
    let path = world.folder.path().join("letter.mp4");
    std::fs::write(&path, "just a letter to a friend\n").unwrap();
    let error = taps_of(&file(&path)).await.unwrap_err();
    assert!(matches!(error, StageError::Reject(..)), "{error:?}");
    assert!(error.to_string().starts_with("source begins with text"), "{error}");
}
