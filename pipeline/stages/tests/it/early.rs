//! Watching a film while the rest is made: what is packaged of its beginning is what the whole will have, byte by byte, and
//! manifests of the beginning never take the place of later ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcsp_domain::{
    ContentKey, Digest, Grid, KeyId, ObjectKey, Plan, PlanId, Policy, Preset, Protection, Scheme, TrackKey,
};
use mcsp_embedded::{Durability, FileStore};
use mcsp_events::{ChunkTranscoded, TranscodingCompleted};
use mcsp_fixtures::looped;
use mcsp_runtime::stage::Stage as _;
use mcsp_runtime::{ObjectStore, PutIf};
use mcsp_stages::assemble::{assemble, assemble_beginning};
use mcsp_stages::package::{Beginning, PackageOrder, package, package_beginning, package_rest};
use mcsp_stages::plan::{PlanOrder, plan};
use mcsp_stages::transcode::transcode;
use mcsp_stages::{DrmPackager, Packable};

use crate::world::{World, context, file, sandbox};

const NOW_US: i64 = 1_760_000_000_000_000;

/// A film of which all chunks are transcoded.
struct Film {
    world: World,
    plan: Plan,
}

impl Film {
    async fn new() -> Self {
        let world = World::new();
        let source = file(&looped("chaplin-mp3-4s.mp4", 5, world.folder.path()));
        let mut policy = Policy::default();
        policy.rungs.video.retain(|rung| [144, 240].contains(&rung.height));
        let order = PlanOrder {
            id: PlanId::new(1_760_000_000_000, &[7; 10]),
            policy,
            preset: Preset::Ultrafast,
            grid: Grid::new(1000).unwrap(),
            chunk_ms: Some(2000),
            // A clear plan asks for no key; its chunks can be packaged with any.
            scheme: None,
            attempt: 1,
        };
        let work = world.stores.work(&world.asset, order.id).unwrap();
        let digest = Digest::of(&[b"film"]);
        let plan = plan(&source, digest, &order, &sandbox(), work.as_ref(), &|_| {}).await.unwrap();
        assert!(plan.chunks.len() >= 4, "{} chunks", plan.chunks.len());
        for chunk in &plan.chunks {
            transcode(&plan, chunk, &source, &sandbox(), work.as_ref(), 1, &|_| {}).await.unwrap();
        }
        Self { world, plan }
    }

    fn work(&self) -> Arc<dyn ObjectStore> {
        self.world.stores.work(&self.world.asset, self.plan.id).unwrap()
    }

    /// Returns the folder of the package.
    fn package(&self) -> PathBuf {
        let asset = &self.world.asset;
        let key = ObjectKey::package(asset.content, asset.revision, self.plan.id);
        self.world.folder.path().join("bucket").join(key.as_str())
    }
}

fn open(folder: &Path) -> Arc<dyn ObjectStore> {
    Arc::new(FileStore::open(folder, Durability::Process).unwrap())
}

fn protection(scheme: Scheme) -> Protection {
    let key = |n: u8| {
        let key = ContentKey::parse(&format!("{n:02x}").repeat(16)).unwrap();
        TrackKey { kid: KeyId::from_bytes([n; 16]), key, iv: [n; 16] }
    };
    Protection { scheme, audio: key(1), sd: key(2), hd: key(3) }
}

/// Returns every file below a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name.starts_with('.') => {}
                true => open.push(path),
                false => drop(all.insert(name, fs::read(&path).unwrap())),
            }
        }
    }
    all
}

/// Checks that the manifests in a folder are those of a beginning that is there, and returns its segments in each rendition.
fn check_beginning(folder: &Path) -> usize {
    let there = files(folder);
    let (_, master) = m3u8_rs::parse_master_playlist(&there["master.m3u8"]).unwrap();
    let mut counts = Vec::new();
    for variant in &master.variants {
        let (_, playlist) = m3u8_rs::parse_media_playlist(&there[&variant.uri]).unwrap();
        assert!(!playlist.end_list);
        assert_eq!(playlist.playlist_type, Some(m3u8_rs::MediaPlaylistType::Event));
        let rendition = variant.uri.split('/').next().unwrap();
        for segment in &playlist.segments {
            assert!(there.contains_key(&format!("{rendition}/{}", segment.uri)), "{} is missing", segment.uri);
        }
        counts.push(playlist.segments.len());
    }
    let mpd = dash_mpd_core::parse(&String::from_utf8_lossy(&there["manifest.mpd"])).unwrap();
    assert_eq!(mpd.mpdtype.as_deref(), Some("dynamic"));
    assert!(mpd.minimumUpdatePeriod.is_some() && mpd.mediaPresentationDuration.is_none());
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{counts:?}");
    counts[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_has_the_bytes_of_the_whole() {
    let film = Film::new().await;
    let (plan, work) = (&film.plan, film.work());
    for scheme in [None, Some(Scheme::Cenc), Some(Scheme::Cbcs)] {
        let keys = scheme.map(protection);
        let order = || PackageOrder { grid: plan.grid, protection: keys.as_ref() };
        let folder = film.world.folder.path().join(format!("{scheme:?}"));
        let (grown, whole) = (folder.join("grown"), folder.join("whole"));
        let (to, to_whole) = (open(&grown), open(&whole));
        let (mut before, mut segments) = (Beginning::default(), 0);
        for count in 1..plan.chunks.len() {
            let renditions = assemble_beginning(plan, count, work.as_ref()).await.unwrap();
            before =
                package_beginning(&renditions, order(), work.as_ref(), to.as_ref(), &before, NOW_US).await.unwrap();
            let listed = check_beginning(&grown);
            assert!(listed > segments, "{listed} segments after {count} chunks");
            segments = listed;
        }
        // One that comes late, of a worker that remembers nothing, changes nothing.
        let early = files(&grown);
        let first = assemble_beginning(plan, 1, work.as_ref()).await.unwrap();
        package_beginning(&first, order(), work.as_ref(), to.as_ref(), &Beginning::default(), NOW_US).await.unwrap();
        assert!(files(&grown) == early, "{scheme:?}: a shorter beginning replaced a longer one");

        let (renditions, _) = assemble(plan, work.as_ref()).await.unwrap();
        let rest = package_rest(&renditions, order(), work.as_ref(), to.as_ref(), &|_| {}).await.unwrap();
        assert_eq!(package(&renditions, order(), work.as_ref(), to_whole.as_ref(), &|_| {}).await.unwrap(), rest);
        let (whole, finished) = (files(&whole), files(&grown));
        assert_eq!(whole.keys().collect::<Vec<_>>(), finished.keys().collect::<Vec<_>>());
        for (name, bytes) in &whole {
            assert!(bytes == &finished[name], "{scheme:?}: {name} differs");
            let is_manifest = !name.ends_with(".m4s") && !name.ends_with("init.mp4");
            assert!(is_manifest || early.get(name).is_none_or(|early| early == bytes), "{scheme:?}: {name} differed");
        }
        package_beginning(&first, order(), work.as_ref(), to.as_ref(), &before, NOW_US).await.unwrap();
        assert!(files(&grown) == whole, "{scheme:?}: a beginning replaced the whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_in_any_order_make_one_package() {
    let film = Film::new().await;
    let work = film.work();
    let count = film.plan.chunks.len();
    let report = |chunk: usize| ObjectKey::chunk_report(u32::try_from(chunk).unwrap());
    let mut reports = Vec::new();
    for chunk in 0..count {
        reports.push(work.get(&report(chunk)).await.unwrap());
        work.delete(&report(chunk)).await.unwrap();
    }
    // Nobody is at this address: the plan is clear.
    let nobody = tonic::transport::Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let packager =
        DrmPackager::new(film.world.stores.clone(), mcsp_grpc::licence::v1::licence_client::LicenceClient::new(nobody));
    let (asset, plan) = (film.world.asset.clone(), film.plan.id);
    let transcoded = |chunk: usize| {
        let (chunk, chunk_count) = (u32::try_from(chunk).unwrap(), u32::try_from(count).unwrap());
        ChunkTranscoded { asset: asset.clone(), plan, chunk, chunk_count }
    };
    let cx = || context(&transcoded(0));
    let store = async |chunk: usize| {
        work.put(&report(chunk), reports[chunk].clone(), PutIf::Always).await.unwrap();
        packager.handle(Packable::Chunk(transcoded(chunk)), &cx()).await.unwrap()
    };
    // The second chunk before the first: nothing can be watched yet.
    assert!(store(1).await.is_empty());
    assert!(!film.package().exists());
    assert!(store(0).await.is_empty());
    let two = check_beginning(&film.package());
    assert!(store(2).await.is_empty());
    assert!(check_beginning(&film.package()) > two);
    // Said once more, and the rest from the end: the whole is made by the completion alone.
    assert!(store(0).await.is_empty());
    for chunk in (3..count).rev() {
        assert!(store(chunk).await.is_empty());
    }
    check_beginning(&film.package());
    let completed = TranscodingCompleted {
        asset: asset.clone(),
        plan,
        variant: 0,
        variant_count: 1,
        rendition: film.plan.ladder.variants()[0].name().clone(),
        kind: film.plan.ladder.variants()[0].kind(),
        chunks: u32::try_from(count).unwrap(),
    };
    let said = packager.handle(Packable::Completed(completed), &cx()).await.unwrap();
    assert_eq!(said.len(), 1);
    let whole = files(&film.package());
    assert!(String::from_utf8_lossy(&whole["manifest.mpd"]).contains("type=\"static\""));
    // A chunk that is told of afterwards changes nothing.
    assert!(store(1).await.is_empty());
    assert!(files(&film.package()) == whole);
}
