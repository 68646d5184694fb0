//! Joins the objects of a rendition into one track: equal sample entries, decode times without gap or overlap.

use mcsp_domain::{MediaTime, RenditionName, Round};

use super::PlanError;
use crate::TrackConfig;
use crate::bmff::Track;

/// A rendition as it comes in.
#[derive(Clone, Debug)]
pub struct RenditionInput<'a> {
    /// Its folder.
    pub name: RenditionName,
    /// Its files in presentation order.
    pub objects: Vec<ObjectInput<'a>>,
}

/// One file of a rendition: a chunk object of the transcoder, or a whole film.
#[derive(Clone, Debug)]
pub struct ObjectInput<'a> {
    /// The file that `track` was parsed from.
    pub bytes: &'a [u8],
    /// The track.
    pub track: Track,
    /// The chunk's index in its plan, a part of its samples' IVs; rises from object to object.
    pub chunk: u16,
}

/// Returns what the first object says of the track.
pub(super) fn config<'t>(name: &RenditionName, objects: &'t [ObjectInput]) -> Result<&'t TrackConfig, PlanError> {
    let first = objects.first().ok_or_else(|| PlanError::NoSamples { name: name.clone(), object: 0 })?;
    Ok(&first.track.config)
}

/// Checks that the objects of a rendition are one track.
pub(super) fn check(input: &RenditionInput) -> Result<(), PlanError> {
    let name = || input.name.clone();
    let config = config(&input.name, &input.objects)?;
    let mut previous: Option<&ObjectInput> = None;
    for (object, current) in input.objects.iter().enumerate() {
        let Some(&start) = current.track.samples.dts().first() else {
            return Err(PlanError::NoSamples { name: name(), object });
        };
        if let Some(what) = difference(config, &current.track.config) {
            return Err(PlanError::Differs { name: name(), object, what });
        }
        if let Some(previous) = previous {
            let (chunk, previous_chunk) = (current.chunk, previous.chunk);
            if chunk <= previous_chunk {
                return Err(PlanError::ChunkOrder { name: name(), object, chunk, previous: previous_chunk });
            }
            let end = previous.track.samples.end();
            if start != end {
                let at = |ticks| MediaTime::new(ticks, config.timescale);
                return Err(PlanError::Gap { name: name(), object, expected: at(end), found: at(start) });
            }
        }
        previous = Some(current);
    }
    Ok(())
}

/// Names what keeps `other` from being more of `first`. Only the first object needs to carry the edit list.
fn difference(first: &TrackConfig, other: &TrackConfig) -> Option<&'static str> {
    if first.timescale != other.timescale {
        return Some("timescale");
    }
    if first.media != other.media {
        return Some("sample entry");
    }
    if first.language != other.language {
        return Some("language");
    }
    let edits_fit = other.edit_media_time == first.edit_media_time || other.edit_media_time == 0;
    if edits_fit { None } else { Some("edit list") }
}

/// Moves all renditions so that the earliest begins at zero, where a file of a running broadcast begins much later.
pub(super) fn start_at_zero(inputs: &mut [RenditionInput]) {
    let start = |input: &RenditionInput| {
        let track = &input.objects.first()?.track;
        let ticks = track.samples.dts().first()?.saturating_sub(track.config.edit_media_time);
        Some(MediaTime::new(ticks, track.config.timescale))
    };
    let earliest = inputs.iter().filter_map(start).min_by(|a, b| a.seconds().total_cmp(&b.seconds()));
    let Some(earliest) = earliest.filter(|earliest| earliest.ticks > 0) else { return };
    for object in inputs.iter_mut().flat_map(|input| &mut input.objects) {
        let timescale = object.track.config.timescale;
        object.track.samples.bring_forward(earliest.to(timescale, Round::Down).ticks);
    }
}
