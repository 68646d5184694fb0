//! Pictures: near hashes vote on (asset, form, offset); along the best offsets every picture of the upload is compared with
//! the reference's picture of that instant.

use std::ops::Range;

use super::{Channel, QUALITY_MIN, Segment, Span};
use crate::VideoMark;
use crate::index::{Index, Near};
use crate::video::{DIHEDRAL_COUNT, Dihedral};

/// Bits within which a picture votes. Unrelated pictures differ by 128 ± 8; edited copies share a slot well beyond the sure
/// radius, and ten of them need no more than some hits.
const VOTE_RADIUS: u32 = 80;
/// Bits at which a picture speaks neither for nor against.
const NEUTRAL_DISTANCE: u32 = 92;
/// The most that one picture speaks against: a cut-in of ten others must not end a stretch of a hundred.
const AGAINST_MAX: i64 = 8;
/// Bits within which a picture is the one before it again; still pictures are one piece of evidence, not many.
const SAME_RADIUS: u32 = 16;
/// One part in this many is what a repeated picture's evidence counts.
const SAME_DIVISOR: i64 = 7;
/// The width of an offset's bin.
const BIN_MS: i64 = 500;
/// How far a reference's picture may be from the instant it is compared at.
const REACH_MS: u64 = 700;
/// What a stretch may lose before it ends: eight pictures against.
const LOSS_MAX: i64 = 64;
/// Evidence below which a stretch is not told of: what no pair of unrelated clips reached.
const EVIDENCE_MIN: i64 = 39;
/// Pictures that a stretch has at least.
const PICTURES_MIN: u32 = 2;
/// Offsets that are tried for one asset and form.
const OFFSETS_MAX: usize = 6;
/// Votes that are kept at once.
const VOTES_MAX: usize = 1 << 22;
/// Stretches of one asset that are told of.
const SEGMENTS_MAX: usize = 64;

/// One picture of the upload near one of the library.
struct Vote {
    asset: u32,
    form: u8,
    offset_ms: i64,
    weight: u32,
}

/// Asset, form and offset that are worth a closer look.
struct Alignment {
    asset: u32,
    form: usize,
    offset_ms: i64,
}

/// Finds the stretches of pictures that the library knows, with the asset of each.
pub(super) fn find(index: &Index<'_>, upload: &[VideoMark]) -> Vec<(u32, Segment)> {
    let telling: Vec<&VideoMark> = upload.iter().filter(|mark| mark.quality >= QUALITY_MIN).collect();
    let mut votes = cast(index, &telling);
    votes.sort_unstable_by_key(|vote| (vote.asset, vote.form, vote.offset_ms));
    let mut found = Vec::new();
    for of_asset in votes.chunk_by(|a, b| a.asset == b.asset) {
        let mut segments = Vec::new();
        for ballot in of_asset.chunk_by(|a, b| a.form == b.form) {
            for alignment in count(ballot) {
                align(index, &telling, &alignment, &mut segments);
            }
        }
        let asset = of_asset.first().map_or(0, |vote| vote.asset);
        found.extend(strongest_apart(segments).into_iter().map(|segment| (asset, segment)));
    }
    found
}

/// Looks every picture and its forms up. A picture that repeats the one before it is looked up all the same: which of many
/// still pictures is which is decided by the moving ones around them.
fn cast(index: &Index<'_>, upload: &[&VideoMark]) -> Vec<Vote> {
    let (mut votes, mut near) = (Vec::new(), Vec::<Near>::new());
    for mark in upload {
        for (form, hash) in (0_u8..).zip(&mark.hashes) {
            index.near(hash, VOTE_RADIUS, &mut near);
            for hit in &near {
                let Some((_, time_ms)) = index.picture(usize::try_from(hit.picture).unwrap_or(usize::MAX)) else {
                    continue;
                };
                let offset_ms = i64::from(time_ms) - i64::from(mark.time_ms);
                let weight = NEUTRAL_DISTANCE - hit.distance;
                votes.push(Vote { asset: index.asset_of(hit.picture), form, offset_ms, weight });
            }
        }
        if votes.len() > VOTES_MAX {
            break;
        }
    }
    votes
}

/// Returns the offsets that most votes fall near: windows of two bins, the heaviest first, each at its weighted middle.
fn count(ballot: &[Vote]) -> Vec<Alignment> {
    let mut windows: Vec<(u64, Range<usize>)> = Vec::new();
    let mut end = 0;
    let mut weight = 0_u64;
    for (start, vote) in ballot.iter().enumerate() {
        while ballot.get(end).is_some_and(|later| later.offset_ms < vote.offset_ms + 2 * BIN_MS) {
            weight += u64::from(ballot[end].weight);
            end += 1;
        }
        windows.push((weight, start..end));
        weight -= u64::from(vote.weight);
    }
    windows.sort_unstable_by_key(|(weight, range)| (std::cmp::Reverse(*weight), range.start));
    let mut alignments: Vec<Alignment> = Vec::new();
    for (weight, range) in windows {
        let votes = &ballot[range];
        let offset_ms = weighted_middle(votes, weight);
        if alignments.iter().any(|chosen| (chosen.offset_ms - offset_ms).abs() < BIN_MS) {
            continue;
        }
        let Some(first) = votes.first() else { continue };
        alignments.push(Alignment { asset: first.asset, form: first.form.into(), offset_ms });
        if alignments.len() == OFFSETS_MAX {
            break;
        }
    }
    alignments
}

fn weighted_middle(votes: &[Vote], weight: u64) -> i64 {
    let mut passed = 0;
    for vote in votes {
        passed += u64::from(vote.weight);
        if passed * 2 >= weight {
            return vote.offset_ms;
        }
    }
    0
}

/// Walks along the upload at one offset and collects the stretches in which more speaks for the reference than against it.
fn align(index: &Index<'_>, upload: &[&VideoMark], alignment: &Alignment, segments: &mut Vec<Segment>) {
    let pictures = index.pictures_of(alignment.asset);
    let mut stretch = Stretch::default();
    for (at, mark) in upload.iter().enumerate() {
        let instant_ms = i64::from(mark.time_ms) + alignment.offset_ms;
        let distance = distance_at(index, &pictures, mark, alignment.form, instant_ms);
        let Some(distance) = distance else {
            stretch.end(upload, alignment, segments);
            continue;
        };
        let before = at.checked_sub(1).map(|before| upload[before]);
        let repeats = before.is_some_and(|before| before.hashes[0].distance(&mark.hashes[0]) <= SAME_RADIUS);
        stretch.take(at, distance, repeats);
        if stretch.is_lost() {
            stretch.end(upload, alignment, segments);
        }
    }
    stretch.end(upload, alignment, segments);
}

/// Returns how far a picture of the upload is from the reference's pictures around an instant: the nearest in bits of the
/// nearest in time, since the two were not sampled at the same instants.
fn distance_at(
    index: &Index<'_>,
    pictures: &Range<usize>,
    mark: &VideoMark,
    form: usize,
    instant_ms: i64,
) -> Option<u32> {
    let instant_ms = u64::try_from(instant_ms).ok()?;
    let hash = mark.hashes[form.min(DIHEDRAL_COUNT - 1)];
    let times_ms = index.times_ms.get(pictures.clone())?;
    let after = times_ms.partition_point(|word| u64::from(u32::from_le_bytes(*word)) < instant_ms);
    let mut nearest: Option<u32> = None;
    for at in after.saturating_sub(1)..(after + 1).min(times_ms.len()) {
        let (known, time_ms) = index.picture(pictures.start + at)?;
        if u64::from(time_ms).abs_diff(instant_ms) <= REACH_MS {
            let distance = known.distance(&hash);
            nearest = Some(nearest.map_or(distance, |nearest| nearest.min(distance)));
        }
    }
    nearest
}

/// What speaks for and against, from a first picture on; the best end so far is remembered.
#[derive(Default)]
struct Stretch {
    sum: i64,
    first: usize,
    best: i64,
    best_last: usize,
    best_agreeing: u32,
    agreeing: u32,
}

impl Stretch {
    fn take(&mut self, at: usize, distance: u32, repeats: bool) {
        let mut speaks = (i64::from(NEUTRAL_DISTANCE) - i64::from(distance)).max(-AGAINST_MAX);
        if repeats {
            // A still picture says once what it says, for and against; never nothing, so that it ends in its last.
            speaks = if speaks > 0 { (speaks / SAME_DIVISOR).max(1) } else { speaks / SAME_DIVISOR };
        }
        if self.sum <= 0 {
            *self = Self { first: at, ..Self::default() };
        }
        self.sum += speaks;
        if speaks > 0 {
            self.agreeing += 1;
        }
        if self.sum > self.best {
            (self.best, self.best_last, self.best_agreeing) = (self.sum, at, self.agreeing);
        }
        if self.sum <= 0 && self.best < EVIDENCE_MIN {
            *self = Self::default();
        }
    }

    fn is_lost(&self) -> bool {
        self.best >= EVIDENCE_MIN && (self.sum <= 0 || self.best - self.sum > LOSS_MAX)
    }

    /// Tells of the stretch where it is worth it, and starts again.
    fn end(&mut self, upload: &[&VideoMark], alignment: &Alignment, segments: &mut Vec<Segment>) {
        let Self { first, best, best_last, best_agreeing, .. } = std::mem::take(self);
        if best < EVIDENCE_MIN || best_agreeing < PICTURES_MIN {
            return;
        }
        let query = span(upload, first, best_last);
        let moved = |time_ms: u64| time_ms.saturating_add_signed(alignment.offset_ms);
        let count = u64::try_from(best_last - first + 1).unwrap_or(u64::MAX);
        segments.push(Segment {
            channel: Channel::Video,
            query,
            reference: Span { start_ms: moved(query.start_ms), end_ms: moved(query.end_ms) },
            transform: Dihedral::ALL[alignment.form.min(DIHEDRAL_COUNT - 1)],
            evidence: u32::try_from(best).unwrap_or(u32::MAX),
            marks: best_agreeing,
            share_permille: super::permille(best_agreeing.into(), count),
        });
    }
}

/// Returns the time from one picture to another. Each stands for half of what lies to its neighbours, half a second at most.
fn span(upload: &[&VideoMark], first: usize, last: usize) -> Span {
    let time_ms = |at: usize| upload.get(at).map(|mark| u64::from(mark.time_ms));
    let (start_ms, end_ms) = (time_ms(first).unwrap_or(0), time_ms(last).unwrap_or(0));
    let half = |gap_ms: Option<u64>| gap_ms.map_or(0, |gap_ms| (gap_ms / 2).min(500));
    let before = half(first.checked_sub(1).and_then(time_ms).map(|before_ms| start_ms.saturating_sub(before_ms)));
    let after = half(time_ms(last + 1).map(|after_ms| after_ms.saturating_sub(end_ms)));
    Span { start_ms: start_ms - before.min(start_ms), end_ms: end_ms + after }
}

/// Keeps the strongest of stretches that tell of the same time.
fn strongest_apart(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.evidence));
    let mut kept: Vec<Segment> = Vec::new();
    for segment in segments {
        let told = kept.iter().any(|other| other.query.shared_ms(&segment.query) * 2 >= segment.query.len_ms());
        if !told && kept.len() < SEGMENTS_MAX {
            kept.push(segment);
        }
    }
    kept
}
