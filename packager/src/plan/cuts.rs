//! Decides where segments begin. Video: the first key frame at or after each segment point of the grid, at equal times on all
//! renditions. Audio: the frames nearest to the video's cuts. An object's first sample always begins a segment, and a last
//! segment shorter than half the grid's joins its neighbour.

use std::cmp::Ordering;

use mcsp_domain::{Grid, MediaTime, RenditionName, Round};

use super::track::{ObjectInput, RenditionInput};
use super::{Extent, PlanError};
use crate::MediaConfig;
use crate::bmff::SampleTable;

/// How far the ends of video renditions may lie apart: two frames of the slowest film.
const END_SECONDS_APART_MAX: f64 = 0.25;

/// The first sample of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The index of the object.
    pub(super) object: usize,
    /// The index of the sample in the object.
    pub(super) sample: usize,
}

/// Returns the cuts of every rendition, in order.
pub(super) fn plan(inputs: &[RenditionInput], grid: Grid, extent: Extent) -> Result<Vec<Vec<Cut>>, PlanError> {
    let reference = inputs.iter().find(|input| is_video(input));
    let leading = reference.map(|input| Ok((input, video_cuts(input, grid, extent)?))).transpose()?;
    let mut all = Vec::with_capacity(inputs.len());
    for input in inputs {
        let cuts = match &leading {
            Some((reference, cuts)) if is_video(input) => follow_video(input, reference, cuts)?,
            Some((reference, cuts)) => {
                let (times, video_end) = (cut_times(reference, cuts), Some(end_time(reference)));
                let times = match extent {
                    Extent::Whole => extend_by_grid(times, video_end, grid, end_time(input)),
                    // The video goes on: where it will end, nobody knows.
                    Extent::Beginning => times,
                };
                audio_cuts(input, &times, grid, extent)
            }
            None => audio_cuts(input, &extend_by_grid(Vec::new(), None, grid, end_time(input)), grid, extent),
        };
        all.push(cuts);
    }
    Ok(all)
}

/// Cuts the video rendition that the others follow.
fn video_cuts(input: &RenditionInput, grid: Grid, extent: Extent) -> Result<Vec<Cut>, PlanError> {
    let timescale = timescale(input);
    let mut cuts = Vec::new();
    for (object, current) in input.objects.iter().enumerate() {
        let samples = &current.track.samples;
        check_start(&input.name, object, current)?;
        let mut next_point = i64::MIN;
        for sample in closed_keys(current) {
            let pts = at(samples.pts(), sample);
            if pts >= next_point {
                cuts.push(Cut { object, sample });
                next_point = grid.segment_start_ticks(grid.segment_of(pts, timescale).saturating_add(1), timescale);
            }
        }
    }
    if extent == Extent::Whole {
        join_short_last(input, &mut cuts, grid);
    }
    Ok(cuts)
}

/// Cuts another video rendition at the times of `reference`.
fn follow_video(input: &RenditionInput, reference: &RenditionInput, cuts: &[Cut]) -> Result<Vec<Cut>, PlanError> {
    let unaligned = |name: &RenditionName, reference: &RenditionName, time| PlanError::Unaligned {
        name: name.clone(),
        reference: reference.clone(),
        time,
    };
    let mut keys = Vec::new();
    for (object, current) in input.objects.iter().enumerate() {
        check_start(&input.name, object, current)?;
        keys.extend(closed_keys(current).map(|sample| Cut { object, sample }));
    }
    let mut own = Vec::with_capacity(cuts.len());
    let mut keys = keys.into_iter().peekable();
    for &cut in cuts {
        let time = time_of(reference, cut);
        // Key frames between the cuts stay inside a segment; an object's first may not.
        while let Some(key) = keys.next_if(|&key| compare(time_of(input, key), time) == Ordering::Less) {
            if key.sample == 0 {
                return Err(unaligned(&reference.name, &input.name, time_of(input, key)));
            }
        }
        match keys.next_if(|&key| compare(time_of(input, key), time) == Ordering::Equal) {
            Some(key) => own.push(key),
            None => return Err(unaligned(&input.name, &reference.name, time)),
        }
    }
    if let Some(key) = keys.find(|key| key.sample == 0) {
        return Err(unaligned(&reference.name, &input.name, time_of(input, key)));
    }
    let (end, reference_end) = (end_time(input), end_time(reference));
    if (end.seconds() - reference_end.seconds()).abs() > END_SECONDS_APART_MAX {
        let (name, reference) = (input.name.clone(), reference.name.clone());
        return Err(PlanError::EndsApart { name, end, reference, reference_end });
    }
    Ok(own)
}

/// Cuts audio at the frames nearest to `times`, which rise. A time within a frame of an object's edge is that edge: the
/// transcoder's chunks begin with the first frame at or after the cut.
fn audio_cuts(input: &RenditionInput, times: &[MediaTime], grid: Grid, extent: Extent) -> Vec<Cut> {
    let (timescale, edit) = (timescale(input), edit_media_time(input));
    let mut cuts = Vec::new();
    let mut times = times.iter().map(|time| time.to(timescale, Round::Nearest).ticks.saturating_add(edit)).peekable();
    for (object, current) in input.objects.iter().enumerate() {
        let samples = &current.track.samples;
        cuts.push(Cut { object, sample: 0 });
        let mut last_cut = 0;
        let last_object = extent == Extent::Whole && object + 1 == input.objects.len();
        while let Some(time) = times.next_if(|&time| time < samples.end()) {
            let after = samples.dts().partition_point(|&dts| dts < time);
            let before = after.saturating_sub(1);
            let (earlier, later) = (at(samples.dts(), before), after_sample(samples, before));
            let sample = if time.saturating_sub(earlier) < later.saturating_sub(time) { before } else { after };
            let near_end = sample >= samples.len() || (!last_object && before + 1 == samples.len());
            if before > 0 && sample > last_cut && !near_end {
                cuts.push(Cut { object, sample });
                last_cut = sample;
            }
        }
    }
    if extent == Extent::Whole {
        join_short_last(input, &mut cuts, grid);
    }
    cuts
}

/// Drops the last cut when the segment behind it is shorter than half the grid's and its neighbour is in the same object.
fn join_short_last(input: &RenditionInput, cuts: &mut Vec<Cut>, grid: Grid) {
    let Some((&[.., before], &last)) = cuts.split_last().map(|(last, rest)| (rest, last)) else { return };
    let length = end_time(input).ticks.saturating_sub(time_of(input, last).ticks);
    let half = i128::from(timescale(input)) * i128::from(grid.segment_ms());
    if before.object == last.object && i128::from(length) * 2000 < half {
        cuts.pop();
    }
}

/// Adds the end of the video, where audio outlasts it, and then the grid's segment points, none of them within half a
/// segment of that end.
fn extend_by_grid(
    mut times: Vec<MediaTime>,
    video_end: Option<MediaTime>,
    grid: Grid,
    end: MediaTime,
) -> Vec<MediaTime> {
    let timescale = end.timescale;
    let mut from = 0;
    if let Some(video_end) = video_end {
        times.push(video_end);
        let half = u64::from(grid.segment_ms()) * u64::from(timescale) / 2000;
        from = video_end.to(timescale, Round::Up).ticks.saturating_add_unsigned(half);
    }
    for point in grid.segment_of(from, timescale).saturating_add(1).. {
        let ticks = grid.segment_start_ticks(point, timescale);
        if ticks >= end.ticks {
            break;
        }
        times.push(MediaTime::new(ticks, timescale));
    }
    times
}

/// Returns the times of all cuts but the first, which is the beginning of everything.
fn cut_times(input: &RenditionInput, cuts: &[Cut]) -> Vec<MediaTime> {
    cuts.iter().skip(1).map(|&cut| time_of(input, cut)).collect()
}

/// Returns the key samples that begin a closed group of pictures: all before them are shown before, all after them after,
/// and no later picture refers to an earlier one, since they are IDR pictures.
fn closed_keys<'i>(object: &'i ObjectInput) -> impl Iterator<Item = usize> + use<'i> {
    let samples = &object.track.samples;
    let mut latest = i64::MIN;
    let rows = samples.pts().iter().zip(samples.dts()).zip(samples.keys()).enumerate();
    rows.filter_map(move |(index, ((&pts, &dts), &key))| {
        let closed = key && dts == pts && latest < pts && is_idr(object, index);
        latest = latest.max(pts);
        closed.then_some(index)
    })
}

/// Returns whether a sample's first coded slice is of an IDR picture (ITU-T H.264 table 7-1: type 5; 1 to 4 are others).
fn is_idr(object: &ObjectInput, sample: usize) -> bool {
    let samples = &object.track.samples;
    let MediaConfig::Avc(avc) = &object.track.config.media else { return true };
    let length_bytes = avc.decoder_config.get(4).map_or(4, |byte| usize::from(byte & 3) + 1);
    let row = samples.offsets().get(sample).zip(samples.sizes().get(sample));
    let Some((offset, size)) = row.and_then(|(&offset, &size)| Some((usize::try_from(offset).ok()?, size as usize)))
    else {
        return false;
    };
    let mut rest = object.bytes.get(offset..).and_then(|bytes| bytes.get(..size)).unwrap_or_default();
    while let Some((length, units)) = rest.split_at_checked(length_bytes) {
        let length = length.iter().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
        match units.first().map(|header| header & 0x1f) {
            Some(5) => return true,
            Some(1..=4) | None => return false,
            Some(_) => rest = units.get(length..).unwrap_or_default(),
        }
    }
    false
}

fn check_start(name: &RenditionName, object: usize, input: &ObjectInput) -> Result<(), PlanError> {
    if closed_keys(input).next() == Some(0) {
        return Ok(());
    }
    Err(PlanError::StartNotKey { name: name.clone(), object })
}

fn is_video(input: &RenditionInput) -> bool {
    input.objects.first().is_some_and(|object| object.track.config.media.is_video())
}

fn timescale(input: &RenditionInput) -> u32 {
    input.objects.first().map_or(1, |object| object.track.config.timescale)
}

fn edit_media_time(input: &RenditionInput) -> i64 {
    input.objects.first().map_or(0, |object| object.track.config.edit_media_time)
}

/// Returns when a sample is decoded, after edits; a closed key frame is shown then too.
fn time_of(input: &RenditionInput, cut: Cut) -> MediaTime {
    let ticks = input.objects.get(cut.object).map_or(0, |object| at(object.track.samples.dts(), cut.sample));
    MediaTime::new(ticks.saturating_sub(edit_media_time(input)), timescale(input))
}

/// Returns when a rendition ends, after edits.
fn end_time(input: &RenditionInput) -> MediaTime {
    let end = input.objects.last().map_or(0, |object: &ObjectInput| object.track.samples.end());
    MediaTime::new(end.saturating_sub(edit_media_time(input)), timescale(input))
}

fn at(column: &[i64], index: usize) -> i64 {
    column.get(index).copied().unwrap_or_default()
}

fn after_sample(samples: &SampleTable, index: usize) -> i64 {
    samples.dts().get(index + 1).copied().unwrap_or(samples.end())
}

/// Compares two instants exactly, whatever their timescales.
fn compare(a: MediaTime, b: MediaTime) -> Ordering {
    let scaled = |time: MediaTime, other: u32| i128::from(time.ticks) * i128::from(other);
    scaled(a, b.timescale).cmp(&scaled(b, a.timescale))
}
