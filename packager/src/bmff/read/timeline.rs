//! Lays the decode times anew: edits are applied to display times, and the i-th sample in decode order gets the i-th
//! display time, so that every track starts without an edit list (but for the encoder delay of audio).

use mcsp_domain::limits::SOURCE_DURATION_S_MAX;
use mcsp_domain::{Round, rescale};

use super::table::SampleTable;
use super::trak::TrackHeader;
use crate::bmff::BmffError;

/// Turns composition times into display times of the presentation and lays the decode times by them.
pub(super) fn lay(table: &mut SampleTable, header: &mut TrackHeader) -> Result<(), BmffError> {
    let Some((&first_dts, &last_dts)) = table.dts.first().zip(table.dts.last()) else { return Ok(()) };
    // Before the decode times are replaced: they say how long the whole track and its last sample are.
    let (span, last_duration) = (table.end.saturating_sub(first_dts), table.end.saturating_sub(last_dts));
    let video = header.config.media.is_video();
    let shift = header.delay.saturating_sub(if video { header.config.edit_media_time } else { 0 });
    for pts in &mut table.pts {
        *pts = pts.saturating_add(shift);
    }
    table.dts.clone_from(&table.pts);
    table.dts.sort_unstable();
    check_times(&table.dts, header)?;
    if video {
        header.config.edit_media_time = 0;
    }
    let (first, last) = (table.dts.first().copied().unwrap_or(0), table.dts.last().copied().unwrap_or(0));
    let end = first.saturating_add(span);
    table.end = if end > last { end } else { last.saturating_add(last_duration.max(1)) };
    check_end(table.end, header)
}

fn check_times(sorted: &[i64], header: &TrackHeader) -> Result<(), BmffError> {
    let track_id = header.track_id;
    if let Some(&first) = sorted.first().filter(|&&first| first < 0) {
        let reason = format!(
            "presentation of track {track_id} begins {} ticks after its first sample: not supported",
            first.unsigned_abs()
        );
        return Err(BmffError::invalid(*b"elst", reason));
    }
    for pair in sorted.windows(2) {
        if let &[earlier, later] = pair
            && earlier == later
        {
            return Err(BmffError::invalid(
                *b"stbl",
                format!("two samples of track {track_id} are shown at tick {later}"),
            ));
        }
    }
    Ok(())
}

/// Checks the length of the track, which bounds every loop over its time line.
fn check_end(end: i64, header: &TrackHeader) -> Result<(), BmffError> {
    let end_s = rescale(end, header.config.timescale.into(), 1, Round::Down);
    if end_s.unsigned_abs() > SOURCE_DURATION_S_MAX {
        let reason = format!("track {} ends at {end_s} s, {SOURCE_DURATION_S_MAX} s allowed", header.track_id);
        return Err(BmffError::invalid(*b"mdhd", reason));
    }
    Ok(())
}
