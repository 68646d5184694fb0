//! Plans a whole ladder. In: the sample tables of every rendition and the grid. Out: every segment of every rendition, its
//! time and the samples in it, before any media byte is touched; then each segment's bytes, in any order and by any thread.
//!
//! Read in this order: `track` (objects joined into one track), `cuts` (where segments begin), `segment` (their bytes).

mod cuts;
mod error;
mod frame_rate;
mod segment;
mod track;

use std::ops::Range;

use mcsp_domain::limits::CHUNKS_MAX;
use mcsp_domain::{Grid, KeyId, Protection, RenditionName, Scheme};

pub use error::PlanError;
pub use segment::SegmentBuffer;
pub use track::{ObjectInput, RenditionInput};

use crate::TrackConfig;
use crate::bmff::{TrackProtection, init_segment};
use crate::cenc::{SampleLayout, Sealer, pssh};
use crate::manifest::{Presentation, RenditionInfo, SegmentInfo};
use segment::Sealing;

/// A planned presentation; building segments from it needs no more decisions.
pub struct PackagePlan<'a> {
    renditions: Vec<RenditionPlan<'a>>,
    scheme: Option<Scheme>,
}

/// One planned rendition.
pub struct RenditionPlan<'a> {
    name: RenditionName,
    config: TrackConfig,
    objects: Vec<ObjectInput<'a>>,
    segments: Vec<SegmentPlan>,
    init: Vec<u8>,
    frame_rate: Option<(u32, u32)>,
    sealing: Option<Sealing>,
}

/// How much of a presentation is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All of it.
    Whole,
    /// Its first objects, behind which others will come.
    Beginning,
}

/// What protects all renditions of a plan.
struct Protecting<'a> {
    protection: &'a Protection,
    kids: Vec<KeyId>,
}

/// One planned segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlan {
    /// The index of the object that holds its samples.
    pub object: usize,
    /// The samples, by their index in the object.
    pub samples: Range<usize>,
    /// The earliest presentation time in track ticks, after edits, at least 0.
    pub start_ticks: i64,
    /// Ticks until the next segment, at least 1.
    pub duration_ticks: u64,
    /// The size of the whole segment when it is left clear; encryption adds its boxes, never media bytes.
    pub clear_size_bytes: u64,
}

impl<'a> PackagePlan<'a> {
    /// Plans every segment. Video is cut at the first key frame at or after each segment point of the grid, at equal times
    /// on all renditions; the earliest rendition begins at zero; audio is cut at the frames nearest to the video's cuts. Every object begins a segment.
    ///
    /// # Errors
    /// When renditions do not fit together, or cannot be protected as asked.
    pub fn new(
        inputs: Vec<RenditionInput<'a>>,
        grid: Grid,
        protection: Option<&Protection>,
    ) -> Result<Self, PlanError> {
        Self::plan(inputs, grid, protection, Extent::Whole)
    }

    /// Plans the segments that a presentation begins with, from the first objects of every rendition: they are the same,
    /// byte by byte, as those of the whole. More objects of every rendition must follow, and the video, where there is one,
    /// must go on behind these.
    ///
    /// # Errors
    /// As `new`.
    pub fn beginning(
        inputs: Vec<RenditionInput<'a>>,
        grid: Grid,
        protection: Option<&Protection>,
    ) -> Result<Self, PlanError> {
        Self::plan(inputs, grid, protection, Extent::Beginning)
    }

    fn plan(
        mut inputs: Vec<RenditionInput<'a>>,
        grid: Grid,
        protection: Option<&Protection>,
        extent: Extent,
    ) -> Result<Self, PlanError> {
        check_count("renditions", inputs.len(), CHUNKS_MAX)?;
        if inputs.is_empty() {
            return Err(PlanError::NoRenditions);
        }
        for (index, input) in inputs.iter().enumerate() {
            check_count("chunks", input.objects.len(), CHUNKS_MAX)?;
            track::check(input)?;
            if inputs[..index].iter().any(|other| other.name == input.name) {
                return Err(PlanError::DuplicateName { name: input.name.clone() });
            }
        }
        track::start_at_zero(&mut inputs);
        let cuts = cuts::plan(&inputs, grid, extent)?;
        let protecting = protection.map(|protection| Protecting { protection, kids: kids_of(&inputs, protection) });
        let mut renditions = Vec::with_capacity(inputs.len());
        for ((index, input), cuts) in (0..).zip(inputs).zip(cuts) {
            renditions.push(RenditionPlan::new(index, input, &cuts, protecting.as_ref())?);
        }
        Ok(Self { renditions, scheme: protection.map(|protection| protection.scheme) })
    }

    /// Returns the planned renditions, in the order they were given.
    pub fn renditions(&self) -> &[RenditionPlan<'a>] {
        &self.renditions
    }

    /// Builds one segment in `buffer` and returns it: `styp sidx moof mdat`, encrypted if the plan says so. Segments may be
    /// built in any order and by several threads, each with its own buffer.
    ///
    /// # Errors
    /// When there is no such segment, or a sample cannot be encrypted.
    pub fn build_segment<'b>(
        &self,
        rendition: usize,
        segment: usize,
        buffer: &'b mut SegmentBuffer,
    ) -> Result<&'b [u8], PlanError> {
        let found = self.renditions.get(rendition).and_then(|plan| Some((plan, plan.segments.get(segment)?)));
        let (plan, planned) = found.ok_or(PlanError::NoSuchSegment { rendition, segment })?;
        segment::build(plan, planned, u32::try_from(segment).unwrap_or(u32::MAX).saturating_add(1), buffer)
    }

    /// Returns what manifests say, once the size of every segment is known: `sizes[rendition][segment]` in bytes.
    ///
    /// # Panics
    /// If `sizes` is not of the plan's shape.
    pub fn presentation(&self, sizes: &[Vec<u64>]) -> Presentation {
        assert_eq!(sizes.len(), self.renditions.len(), "one list of sizes for each rendition");
        let renditions = self.renditions.iter().zip(sizes).map(|(plan, sizes)| plan.info(sizes)).collect();
        Presentation { renditions, scheme: self.scheme }
    }
}

impl<'a> RenditionPlan<'a> {
    fn new(
        index: u16,
        input: RenditionInput<'a>,
        cuts: &[cuts::Cut],
        protecting: Option<&Protecting>,
    ) -> Result<Self, PlanError> {
        let RenditionInput { name, objects } = input;
        let config = track::config(&name, &objects)?.clone();
        let segments = segment::plan(&name, &objects, &config, cuts)?;
        let frame_rate = if config.media.is_video() { frame_rate::of(&objects, config.timescale) } else { None };
        let Some(protecting) = protecting else {
            let init = init_segment(&config, None);
            return Ok(Self { name, config, objects, segments, init, frame_rate, sealing: None });
        };
        let Protecting { protection, kids } = protecting;
        let key = protection.key(config.media.track_class());
        let layout = SampleLayout::for_track(&config.media);
        let layout = layout.map_err(|source| PlanError::Cenc { name: name.clone(), source })?;
        // Its own id first, then those of the other renditions: players that ask once ask for all (ClearKey in hls.js).
        let others = kids.iter().copied().filter(|kid| *kid != key.kid);
        let pssh = pssh::common(&std::iter::once(key.kid).chain(others).collect::<Vec<_>>());
        let said = TrackProtection { scheme: protection.scheme, kid: key.kid, constant_iv: key.iv, pssh: &pssh };
        let init = init_segment(&config, Some(&said));
        let sealer = Sealer::new(protection.scheme, key, layout);
        let sealing = Some(Sealing::new(sealer, protection.scheme, key, &config.media, index));
        Ok(Self { name, config, objects, segments, init, frame_rate, sealing })
    }

    /// Returns the rendition's name.
    pub fn name(&self) -> &RenditionName {
        &self.name
    }

    /// Returns the configuration of its track.
    pub fn config(&self) -> &TrackConfig {
        &self.config
    }

    /// Returns the bytes of its initialisation segment.
    pub fn init(&self) -> &[u8] {
        &self.init
    }

    /// Returns its segments in order.
    pub fn segments(&self) -> &[SegmentPlan] {
        &self.segments
    }

    fn info(&self, sizes: &[u64]) -> RenditionInfo {
        assert_eq!(sizes.len(), self.segments.len(), "one size for each segment of {}", self.name);
        let segment = |(plan, &size_bytes): (&SegmentPlan, &u64)| SegmentInfo {
            start_ticks: plan.start_ticks,
            duration_ticks: plan.duration_ticks,
            size_bytes,
        };
        RenditionInfo {
            name: self.name.clone(),
            media: self.config.media.clone(),
            timescale: self.config.timescale,
            language: self.config.language.clone(),
            kid: self.sealing.as_ref().map(|sealing| sealing.kid),
            frame_rate: self.frame_rate,
            segments: self.segments.iter().zip(sizes).map(segment).collect(),
        }
    }
}

/// Returns the key ids of all renditions, each once, in the order of the renditions.
fn kids_of(inputs: &[RenditionInput], protection: &Protection) -> Vec<KeyId> {
    let mut kids = Vec::new();
    let configs = inputs.iter().filter_map(|input| input.objects.first()).map(|object| &object.track.config);
    for kid in configs.map(|config| protection.key(config.media.track_class()).kid) {
        if !kids.contains(&kid) {
            kids.push(kid);
        }
    }
    kids
}

fn check_count(what: &'static str, count: usize, allowed: usize) -> Result<(), PlanError> {
    if count > allowed {
        return Err(PlanError::TooMany { what, count, allowed });
    }
    Ok(())
}
