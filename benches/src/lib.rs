//! What the criterion suites have in common: a film in memory, its tracks, and a walk over every segment of a plan. In: the
//! bytes of one MP4. Out: plans and byte counts. The suites are in `benches/`, the contest with peers in `deploy/xtask`.

use mcsp_domain::{ContentKey, Grid, KeyId, Protection, RenditionName, Scheme, TrackKey};
use mcsp_packager::bmff::Movie;
use mcsp_packager::plan::{ObjectInput, PackagePlan, PlanError, RenditionInput, SegmentBuffer};

/// Segments of 6 s, as `mcsp process` makes them by default.
const SEGMENT_MS: u32 = 6000;

/// A film: the file and what stands in its tables.
pub struct Film {
    bytes: Vec<u8>,
    movie: Movie,
}

impl Film {
    /// Reads the tables of an MP4.
    ///
    /// # Errors
    /// When the reader refuses it.
    pub fn new(bytes: Vec<u8>) -> Result<Self, mcsp_packager::bmff::BmffError> {
        let movie = Movie::parse(&bytes)?;
        Ok(Self { bytes, movie })
    }

    /// Returns the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns every track as a rendition of its own, which is what a plan is made of.
    pub fn renditions(&self) -> Vec<RenditionInput<'_>> {
        let mut renditions = Vec::new();
        for track in &self.movie.tracks {
            let kind = if track.config.media.is_video() { "video" } else { "audio" };
            let name = RenditionName::parse(&format!("{kind}-{}", track.track_id));
            let object = ObjectInput { bytes: &self.bytes, track: track.clone(), chunk: 0 };
            renditions.extend(name.map(|name| RenditionInput { name, objects: vec![object] }));
        }
        renditions
    }

    /// Returns how many bytes of media all samples hold.
    pub fn media_bytes(&self) -> u64 {
        self.movie.tracks.iter().flat_map(|track| track.samples.sizes()).map(|&size| u64::from(size)).sum()
    }
}

/// Returns a fixed key for every track class.
pub fn protection(scheme: Scheme) -> Protection {
    let key = || TrackKey { kid: KeyId::from_bytes([1; 16]), key: ContentKey::from_bytes([2; 16]), iv: [3; 16] };
    Protection { scheme, audio: key(), sd: key(), hd: key() }
}

/// Plans all segments of a film.
///
/// # Errors
/// When the renditions do not fit together.
pub fn plan<'a>(
    renditions: Vec<RenditionInput<'a>>,
    protection: Option<&Protection>,
) -> Result<PackagePlan<'a>, PlanError> {
    let grid = Grid::new(SEGMENT_MS).unwrap_or_else(|error| panic!("the benches' grid: {error}"));
    PackagePlan::new(renditions, grid, protection)
}

/// Builds every segment of a plan into one buffer, one after the other, and returns their sizes by rendition.
///
/// # Errors
/// When a sample cannot be encrypted.
pub fn build_all(plan: &PackagePlan<'_>, buffer: &mut SegmentBuffer) -> Result<Vec<Vec<u64>>, PlanError> {
    let mut sizes = Vec::new();
    for (rendition, planned) in plan.renditions().iter().enumerate() {
        let mut sizes_of_rendition = Vec::new();
        for segment in 0..planned.segments().len() {
            sizes_of_rendition.push(plan.build_segment(rendition, segment, buffer)?.len() as u64);
        }
        sizes.push(sizes_of_rendition);
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_writes_all_media() {
        let film = Film::new(std::fs::read(mcsp_fixtures::media("bbb-1080p60.mp4")).unwrap()).unwrap();
        let mut buffer = SegmentBuffer::new();
        for scheme in [None, Some(Scheme::Cenc), Some(Scheme::Cbcs)] {
            let protection = scheme.map(protection);
            let plan = plan(film.renditions(), protection.as_ref()).unwrap();
            let sizes = build_all(&plan, &mut buffer).unwrap();
            let written_bytes: u64 = sizes.iter().flatten().sum();
            let media_bytes = film.media_bytes();
            assert!(sizes.len() == 2 && written_bytes > media_bytes, "{written_bytes} bytes for {media_bytes}");
            assert!(written_bytes < media_bytes * 21 / 20, "{written_bytes} bytes for {media_bytes}");
        }
    }
}
