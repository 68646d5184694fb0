//! Poster and storyboard of a transcoded film: readable pictures of the right sizes, cues that cover the film.

use std::sync::Arc;

use mcsp_domain::{Digest, Grid, ObjectKey, Plan, PlanId, Policy, Preset, RenditionKind};
use mcsp_events::{Outgoing, ThumbnailsGenerated, TranscodingCompleted};
use mcsp_fixtures::media;
use mcsp_runtime::ObjectStore;
use mcsp_runtime::stage::Stage as _;
use mcsp_stages::ThumbnailGenerator;
use mcsp_stages::plan::{PlanOrder, plan};
use mcsp_stages::transcode::transcode;

use crate::world::{World, context, file, probed, sandbox};

/// Plans a clip with two small rungs in chunks of 4 s and transcodes the first `chunks` of them.
async fn transcoded(world: &World, chunks: usize) -> Plan {
    let source = file(&media("phone-vfr-13s.mp4"));
    let mut policy = Policy::default();
    policy.rungs.video.retain(|rung| [144, 240].contains(&rung.height));
    let order = PlanOrder {
        id: PlanId::new(1_760_000_000_000, &[7; 10]),
        policy,
        preset: Preset::Ultrafast,
        grid: Grid::new(2000).unwrap(),
        chunk_ms: Some(4000),
        scheme: None,
        attempt: 1,
    };
    let work = world.stores.work(&world.asset, order.id).unwrap();
    let plan = plan(&source, Digest::of(&[b"test"]), &order, &sandbox(), work.as_ref(), &|_| {}).await.unwrap();
    for chunk in plan.chunks.iter().take(chunks) {
        transcode(&plan, chunk, &source, &sandbox(), work.as_ref(), 1, &|_| {}).await.unwrap();
    }
    plan
}

fn completed(world: &World, plan: &Plan) -> TranscodingCompleted {
    let first = plan.ladder.video().next().unwrap();
    TranscodingCompleted {
        asset: world.asset.clone(),
        plan: plan.id,
        variant: 0,
        variant_count: 1,
        rendition: first.name.clone(),
        kind: RenditionKind::Video,
        chunks: 1,
    }
}

/// Handles a completion, and returns what was said of it.
async fn handle(world: &World, plan: &Plan) -> Vec<Outgoing> {
    let generator = ThumbnailGenerator::new(world.stores.clone(), sandbox());
    let event = completed(world, plan);
    generator.handle(event.clone(), &context(&event)).await.unwrap()
}

/// Returns milliseconds of `00:00:00.000`.
fn millis(text: &str) -> u64 {
    let numbers: Vec<u64> = text.split([':', '.']).map(|part| part.parse().unwrap()).collect();
    ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 1000 + numbers[3]
}

#[tokio::test]
async fn a_poster_and_tiles_are_made_once_and_cover_the_film() {
    let world = World::new();
    let plan = transcoded(&world, usize::MAX).await;
    assert!(plan.chunks.len() >= 2, "{} chunks", plan.chunks.len());
    let said = handle(&world, &plan).await;
    let package = world.stores.package(&world.asset, plan.id).unwrap();
    let text = package.get(&ObjectKey::storyboard()).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let spans: Vec<(u64, u64)> = text
        .lines()
        .filter_map(|line| line.split_once(" --> "))
        .map(|(start, end)| (millis(start), millis(end)))
        .collect();
    assert!(spans.len() >= 6, "{text}");
    assert_eq!(spans[0].0, 0);
    assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "{text}");
    assert!((plan.duration_s() * 1000.0 - spans.last().unwrap().1 as f64).abs() < 300.0, "{text}");

    let sheet = package.as_file(&ObjectKey::storyboard_sheet(0)).unwrap();
    let tiles: Vec<&str> = text.lines().filter(|line| line.contains("#xywh=")).collect();
    assert!(tiles[1].starts_with("storyboard-000.jpg#xywh=106,0,106,160"), "{text}");
    let columns = tiles.len().min(10);
    assert_eq!(probed(&sheet), format!("mjpeg,{},160", 106 * columns));
    let largest = plan.ladder.video().map(|video| (video.width_px, video.height_px)).max().unwrap();
    let poster = package.as_file(&ObjectKey::poster()).unwrap();
    assert_eq!(probed(&poster), format!("mjpeg,{},{}", largest.0, largest.1));

    let made = package.head(&ObjectKey::poster()).await.unwrap();
    assert_eq!(handle(&world, &plan).await, said, "a second completion says the same event");
    assert_eq!(package.head(&ObjectKey::poster()).await.unwrap(), made, "it was made again");
    let folder = ObjectKey::package(world.asset.content, world.asset.revision, plan.id);
    let event = ThumbnailsGenerated {
        asset: world.asset.clone(),
        plan: plan.id,
        poster: Some(folder.join(&ObjectKey::poster()).unwrap()),
        storyboard: folder.join(&ObjectKey::storyboard()).unwrap(),
    };
    assert_eq!(said, [Outgoing::once(plan.id.as_bytes(), "thumbnails", &event)]);
}

#[tokio::test]
async fn nothing_is_made_before_all_chunks_are_there() {
    let world = World::new();
    let plan = transcoded(&world, 1).await;
    assert_eq!(handle(&world, &plan).await, []);
    let package: Arc<dyn ObjectStore> = world.stores.package(&world.asset, plan.id).unwrap();
    assert_eq!(package.head(&ObjectKey::storyboard()).await.unwrap(), None);
}
