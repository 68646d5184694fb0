//! The package stage: clear renditions in, encrypted segments and manifests out. Segments are built in parallel; manifests
//! are written last, so that whoever sees one sees all that it names. The beginning of a film can be packaged while the rest
//! is made (`beginning.rs`); its segments are those of the whole.

mod beginning;

use std::path::PathBuf;

use bytes::Bytes;
use mcsp_domain::{Grid, KeyId, ObjectKey, Protection, RenditionKind, RenditionName, TrackClass};
use mcsp_packager::bmff::{Movie, Track};
use mcsp_packager::manifest::{Presentation, RenditionInfo, dash, hls};
use mcsp_packager::plan::{ObjectInput, PackagePlan, RenditionInput, SegmentBuffer};
use mcsp_packager::{MediaConfig, TrackConfig};
use mcsp_runtime::{ObjectStore, PutIf, StageError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::assemble::ClearRendition;
use crate::map::Mapped;
use crate::progress::{OnProgress, Progress};
pub use beginning::{BEGINNING_UPDATE_MS, Beginning, package_beginning};

/// How renditions are to be packaged.
pub struct PackageOrder<'a> {
    /// Where segments are cut.
    pub grid: Grid,
    /// Keys and scheme; `None` leaves the renditions clear.
    pub protection: Option<&'a Protection>,
}

/// What came out for one rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackagedRendition {
    /// Its name and folder.
    pub name: RenditionName,
    /// Pictures or sound.
    pub kind: RenditionKind,
    /// The `codecs` parameter of RFC 6381.
    pub codec: String,
    /// Width of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width_px: Option<u16>,
    /// Height of the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height_px: Option<u16>,
    /// Samples per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate_hz: Option<u32>,
    /// Channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// Frames or audio frames.
    pub frames: u64,
    /// Media segments.
    pub segments: usize,
    /// Bytes of all media segments.
    pub bytes: u64,
    /// Length in seconds.
    pub duration_s: f64,
    /// Bytes over length, in bits per second.
    pub average_bps: u64,
    /// The rate of the segment with the highest one, in bits per second.
    pub peak_bps: u64,
    /// The id of its key, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
}

/// Bytes of objects on their way through the packager, mapped where the store is local.
enum ObjectBytes {
    Mapped(Mapped),
    Read(Bytes),
}

impl ObjectBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map.bytes(),
            Self::Read(bytes) => bytes,
        }
    }
}

/// Packages the complete clear renditions of a plan.
///
/// # Errors
/// `Reject` when renditions do not fit together or cannot be protected, `Retry` when a store failed.
pub async fn package(
    renditions: &[ClearRendition],
    order: PackageOrder<'_>,
    from: &dyn ObjectStore,
    to: &dyn ObjectStore,
    on: OnProgress<'_>,
) -> Result<Vec<PackagedRendition>, StageError> {
    let loaded = load(renditions, from).await?;
    write_package(inputs(&loaded)?, order, to, Write::All, on)
}

/// Packages as `package` does, but leaves the segments alone that are stored: those of the film's beginning.
///
/// # Errors
/// As `package`.
pub async fn package_rest(
    renditions: &[ClearRendition],
    order: PackageOrder<'_>,
    from: &dyn ObjectStore,
    to: &dyn ObjectStore,
    on: OnProgress<'_>,
) -> Result<Vec<PackagedRendition>, StageError> {
    let loaded = load(renditions, from).await?;
    write_package(inputs(&loaded)?, order, to, Write::Missing, on)
}

/// A clear object on its way: its rendition, its chunk, its name for errors, its bytes.
type Loaded = (RenditionName, u16, String, ObjectBytes);

async fn load(renditions: &[ClearRendition], from: &dyn ObjectStore) -> Result<Vec<Loaded>, StageError> {
    let mut loaded = Vec::new();
    for rendition in renditions {
        for (chunk, key) in &rendition.objects {
            let bytes = match from.as_file(key) {
                Some(path) => ObjectBytes::Mapped(map(&path)?),
                None => ObjectBytes::Read(from.get(key).await?),
            };
            loaded.push((rendition.name.clone(), *chunk, key.to_string(), bytes));
        }
    }
    Ok(loaded)
}

/// Files that are packaged as they are, mapped and parsed.
pub struct LoadedFiles {
    files: Vec<(Mapped, Movie)>,
}

impl LoadedFiles {
    /// Maps and parses MP4 files with H.264 or AAC.
    ///
    /// # Errors
    /// `Reject` with the name of a file that is missing or no sound MP4.
    pub fn open(paths: &[PathBuf]) -> Result<Self, StageError> {
        let mut files = Vec::new();
        for path in paths {
            let map = map(path)?;
            let movie = parse(&path.display().to_string(), map.bytes())?;
            files.push((map, movie));
        }
        Ok(Self { files })
    }

    /// Returns the classes of all tracks: those that need a key.
    pub fn track_classes(&self) -> Vec<TrackClass> {
        let tracks = self.files.iter().flat_map(|(_, movie)| &movie.tracks);
        tracks.map(|track| track.config.media.track_class()).collect()
    }
}

/// Packages files as they are: every track of every file becomes a rendition.
///
/// # Errors
/// As `package`.
pub async fn package_files(
    loaded: LoadedFiles,
    order: PackageOrder<'_>,
    to: &dyn ObjectStore,
    on: OnProgress<'_>,
) -> Result<Vec<PackagedRendition>, StageError> {
    let (maps, movies): (Vec<Mapped>, Vec<Movie>) = loaded.files.into_iter().unzip();
    let mut inputs: Vec<RenditionInput<'_>> = Vec::new();
    for (map, movie) in maps.iter().zip(movies) {
        for track in movie.tracks {
            let name = name_of(&track.config, &inputs);
            inputs.push(RenditionInput { name, objects: vec![ObjectInput { chunk: 0, bytes: map.bytes(), track }] });
        }
    }
    // Video first, the largest first, as in a ladder: players start with what stands first.
    inputs.sort_by_key(|input| std::cmp::Reverse(pixels(input)));
    write_package(inputs, order, to, Write::All, on)
}

fn inputs(loaded: &[Loaded]) -> Result<Vec<RenditionInput<'_>>, StageError> {
    let mut inputs: Vec<RenditionInput<'_>> = Vec::new();
    for (name, chunk, key, object) in loaded {
        let track = only_track(key, parse(key, object.bytes())?.tracks)?;
        let input = ObjectInput { chunk: *chunk, bytes: object.bytes(), track };
        match inputs.last_mut() {
            Some(last) if &last.name == name => last.objects.push(input),
            _ => inputs.push(RenditionInput { name: name.clone(), objects: vec![input] }),
        }
    }
    Ok(inputs)
}

/// Which segments are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    /// All, whatever is there.
    All,
    /// Those that are not there yet.
    Missing,
}

/// Plans, builds and stores everything: initialisation segments, media segments in parallel, then the manifests.
fn write_package(
    inputs: Vec<RenditionInput<'_>>,
    order: PackageOrder<'_>,
    to: &dyn ObjectStore,
    write: Write,
    on: OnProgress<'_>,
) -> Result<Vec<PackagedRendition>, StageError> {
    let frames: Vec<u64> = inputs.iter().map(frame_count).collect();
    let plan = PackagePlan::new(inputs, order.grid, order.protection)
        .map_err(|error| StageError::reject("renditions cannot be packaged", error))?;
    let runtime = Handle::current();
    let put = |key: &ObjectKey, bytes: Bytes| runtime.block_on(to.put(key, bytes, PutIf::Always));
    tokio::task::block_in_place(|| {
        for rendition in plan.renditions() {
            put(&ObjectKey::init_segment(rendition.name()), Bytes::copy_from_slice(rendition.init()))?;
        }
        let stored = |_, _, key: &ObjectKey| match write {
            Write::All => Ok(None),
            Write::Missing => runtime.block_on(to.head(key)).map(|meta| meta.map(|meta| meta.len_bytes)),
        };
        let sizes = write_segments(&plan, &put, &stored, on)?;
        let presentation = plan.presentation(&sizes);
        write_manifests(&presentation, &put)?;
        Ok(presentation.renditions.iter().zip(frames).map(|(info, frames)| packaged(info, frames)).collect())
    })
}

type Put<'a> = &'a (dyn Fn(&ObjectKey, Bytes) -> Result<mcsp_runtime::Put, mcsp_runtime::StoreError> + Sync);

/// Tells the size of a segment that need not be written, by the indices of its rendition and of itself, and by its key.
type Stored<'a> = &'a (dyn Fn(usize, usize, &ObjectKey) -> Result<Option<u64>, mcsp_runtime::StoreError> + Sync);

/// Builds and stores all media segments, several at a time; returns their sizes.
fn write_segments(
    plan: &PackagePlan<'_>,
    put: Put<'_>,
    stored: Stored<'_>,
    on: OnProgress<'_>,
) -> Result<Vec<Vec<u64>>, StageError> {
    let total: usize = plan.renditions().iter().map(|rendition| rendition.segments().len()).sum();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let mut sizes = Vec::new();
    for (index, rendition) in plan.renditions().iter().enumerate() {
        let one = |buffer: &mut SegmentBuffer, segment: usize| -> Result<u64, StageError> {
            let number = u32::try_from(segment + 1).unwrap_or(u32::MAX);
            let key = ObjectKey::media_segment(rendition.name(), number);
            let least_bytes = rendition.segments().get(segment).map_or(0, |segment| segment.clear_size_bytes);
            let len_bytes = match stored(index, segment, &key)? {
                Some(len_bytes) if len_bytes >= least_bytes => len_bytes,
                _ => {
                    let bytes = plan.build_segment(index, segment, buffer).map_err(|error| {
                        StageError::reject(format!("segment {segment} of {}", rendition.name()), error)
                    })?;
                    put(&key, Bytes::copy_from_slice(bytes))?;
                    bytes.len() as u64
                }
            };
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            on(Progress::Packaged { done, total });
            Ok(len_bytes)
        };
        let segments = (0..rendition.segments().len()).into_par_iter();
        sizes.push(segments.map_init(SegmentBuffer::default, one).collect::<Result<Vec<u64>, StageError>>()?);
    }
    Ok(sizes)
}

fn write_manifests(presentation: &Presentation, put: Put<'_>) -> Result<(), StageError> {
    let refuse = |error| StageError::reject("manifests cannot be written", error);
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let playlist = hls::media(presentation, index).map_err(refuse)?;
        put(&ObjectKey::media_playlist(&rendition.name), Bytes::from(playlist))?;
    }
    put(&ObjectKey::multivariant_playlist(), Bytes::from(hls::multivariant(presentation).map_err(refuse)?))?;
    put(&ObjectKey::mpd(), Bytes::from(dash::mpd(presentation).map_err(refuse)?))?;
    Ok(())
}

fn packaged(info: &RenditionInfo, frames: u64) -> PackagedRendition {
    let bytes: u64 = info.segments.iter().map(|segment| segment.size_bytes).sum();
    let ticks: u64 = info.segments.iter().map(|segment| segment.duration_ticks).sum();
    let timescale = u64::from(info.timescale);
    let rate = |bytes: u64, ticks: u64| (bytes * 8).saturating_mul(timescale) / ticks.max(1);
    let peak_bps = info.segments.iter().map(|segment| rate(segment.size_bytes, segment.duration_ticks)).max();
    let (mut width_px, mut height_px, mut sample_rate_hz, mut channels) = (None, None, None, None);
    match &info.media {
        MediaConfig::Avc(avc) => (width_px, height_px) = (Some(avc.width_px), Some(avc.height_px)),
        MediaConfig::Aac(aac) => (sample_rate_hz, channels) = (Some(aac.sample_rate_hz), Some(aac.channels)),
    }
    PackagedRendition {
        name: info.name.clone(),
        kind: if info.media.is_video() { RenditionKind::Video } else { RenditionKind::Audio },
        codec: info.media.codec_string(),
        width_px,
        height_px,
        sample_rate_hz,
        channels,
        frames,
        segments: info.segments.len(),
        bytes,
        duration_s: ticks as f64 / f64::from(info.timescale),
        average_bps: rate(bytes, ticks),
        peak_bps: peak_bps.unwrap_or(0),
        kid: info.kid.map(|kid: KeyId| kid.to_string()),
    }
}

fn map(path: &std::path::Path) -> Result<Mapped, StageError> {
    Mapped::open(path).map_err(|error| StageError::reject(format!("could not open {}", path.display()), error))
}

fn parse(name: &str, bytes: &[u8]) -> Result<Movie, StageError> {
    Movie::parse(bytes).map_err(|error| StageError::reject(name.to_owned(), error))
}

fn only_track(key: &str, tracks: Vec<Track>) -> Result<Track, StageError> {
    match <[Track; 1]>::try_from(tracks) {
        Ok([track]) => Ok(track),
        Err(tracks) => Err(StageError::refuse(format!("chunk object {key} has {} tracks", tracks.len()))),
    }
}

/// Names a rendition of `mcsp package` after what it is: `video-720p`, `audio-48000`, with a number where that is taken.
fn name_of(config: &TrackConfig, taken: &[RenditionInput<'_>]) -> RenditionName {
    let base = match &config.media {
        MediaConfig::Avc(avc) => format!("video-{}p", avc.width_px.min(avc.height_px)),
        MediaConfig::Aac(_) if config.language == "und" => "audio".to_owned(),
        MediaConfig::Aac(_) => format!("audio-{}", config.language.to_ascii_lowercase()),
    };
    RenditionName::unique(&base, |name| taken.iter().any(|input| &input.name == name))
}

fn pixels(input: &RenditionInput<'_>) -> u64 {
    match input.objects.first().map(|object| &object.track.config.media) {
        Some(MediaConfig::Avc(avc)) => u64::from(avc.width_px) * u64::from(avc.height_px),
        Some(MediaConfig::Aac(_)) | None => 0,
    }
}

fn frame_count(input: &RenditionInput<'_>) -> u64 {
    input.objects.iter().map(|object| object.track.samples.len() as u64).sum()
}
