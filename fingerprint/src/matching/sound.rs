//! Sound: landmarks vote on (asset, offset), half a minute of the upload at a time, and what votes for one offset is put
//! together again over the whole.

use super::{Channel, Segment, Span};
use crate::AudioMark;
use crate::audio::frame_ms;
use crate::index::Index;
use crate::video::Dihedral;

/// Frames that vote together: 30 s. Votes of a longer stretch would let chance add up, and a shifting offset come apart.
const BALLOT_FRAMES: u32 = 1292;
/// Frames that offsets of one alignment may be apart: sound is seldom cut on our grid.
const OFFSET_FRAMES: i64 = 2;
/// Landmarks that agree within one ballot before an offset is looked at.
const BALLOT_MARKS_MIN: usize = 5;
/// Offsets of one asset in one ballot.
const OFFSETS_MAX: usize = 4;
/// The longest silence of an offset within one stretch: 5 s.
const GAP_FRAMES_MAX: u32 = 215;
/// Landmarks below which a stretch is not told of.
pub(super) const MARKS_MIN: usize = 8;
/// Votes of one ballot.
const VOTES_MAX: usize = 1 << 21;
/// Stretches of one upload that are told of.
const SEGMENTS_MAX: usize = 1024;

/// One landmark of the upload that is one of the library.
#[derive(Clone, Copy)]
struct Vote {
    asset: u32,
    /// The reference's frame less the upload's.
    offset: i64,
    frame: u32,
    term: u32,
}

/// What votes for one offset.
struct Alignment {
    asset: u32,
    offset: i64,
    votes: Vec<Vote>,
}

/// Finds the stretches of sound that the library knows, with the asset of each.
pub(super) fn find(index: &Index<'_>, upload: &[AudioMark]) -> Vec<(u32, Segment)> {
    let mut alignments: Vec<Alignment> = Vec::new();
    for ballot in upload.chunk_by(|a, b| a.frame / BALLOT_FRAMES == b.frame / BALLOT_FRAMES) {
        for chosen in count(cast(index, ballot)) {
            let same = |known: &&mut Alignment| {
                known.asset == chosen.asset && (known.offset - chosen.offset).abs() <= OFFSET_FRAMES
            };
            if let Some(known) = alignments.iter_mut().rev().find(same) {
                known.votes.extend(chosen.votes);
            } else if alignments.len() < SEGMENTS_MAX {
                alignments.push(chosen);
            }
        }
    }
    let mut found = Vec::new();
    for alignment in &alignments {
        for votes in alignment.votes.chunk_by(|a, b| b.frame - a.frame <= GAP_FRAMES_MAX) {
            found.extend(segment(upload, alignment, votes).map(|segment| (alignment.asset, segment)));
        }
    }
    found
}

fn cast(index: &Index<'_>, ballot: &[AudioMark]) -> Vec<Vote> {
    let mut votes = Vec::new();
    for mark in ballot {
        for sounding in index.soundings(mark.term) {
            let offset = i64::from(sounding.frame) - i64::from(mark.frame);
            votes.push(Vote { asset: sounding.asset, offset, frame: mark.frame, term: mark.term });
        }
        if votes.len() > VOTES_MAX {
            break;
        }
    }
    votes
}

/// Returns, for each asset, the offsets that most votes fall near, each with its votes in rising time.
fn count(mut votes: Vec<Vote>) -> Vec<Alignment> {
    votes.sort_unstable_by_key(|vote| (vote.asset, vote.offset, vote.frame, vote.term));
    let mut alignments = Vec::new();
    for of_asset in votes.chunk_by(|a, b| a.asset == b.asset) {
        let mut windows = Vec::new();
        let mut end = 0;
        for (start, vote) in of_asset.iter().enumerate() {
            while of_asset.get(end).is_some_and(|later| later.offset <= vote.offset + OFFSET_FRAMES) {
                end += 1;
            }
            windows.push(start..end);
        }
        windows.retain(|window| window.len() >= BALLOT_MARKS_MIN);
        windows.sort_unstable_by_key(|window| (std::cmp::Reverse(window.len()), window.start));
        let mut chosen: Vec<Alignment> = Vec::new();
        for window in windows {
            let votes = &of_asset[window];
            let Some(middle) = votes.get(votes.len() / 2) else { continue };
            let near = |known: &Alignment| (known.offset - middle.offset).abs() <= 2 * OFFSET_FRAMES;
            if chosen.len() < OFFSETS_MAX && !chosen.iter().any(near) {
                let mut votes = votes.to_vec();
                votes.sort_unstable_by_key(|vote| (vote.frame, vote.term));
                votes.dedup_by_key(|vote| (vote.frame, vote.term));
                chosen.push(Alignment { asset: middle.asset, offset: middle.offset, votes });
            }
        }
        alignments.extend(chosen);
    }
    alignments
}

/// Returns the stretch from the first vote to the last, where enough different terms speak for it: a sound that only repeats
/// itself would agree at any offset.
fn segment(upload: &[AudioMark], alignment: &Alignment, votes: &[Vote]) -> Option<Segment> {
    let (first, last) = (votes.first()?, votes.last()?);
    let mut terms: Vec<u32> = votes.iter().map(|vote| vote.term).collect();
    terms.sort_unstable();
    terms.dedup();
    if terms.len() < MARKS_MIN {
        return None;
    }
    // A landmark ends as many frames after its beginning as its last six bits say.
    let query = Span { start_ms: frame_ms(first.frame), end_ms: frame_ms(last.frame + (last.term & 63)) };
    let moved = |frame: u32| {
        let frame = i64::from(frame) + alignment.offset;
        frame_ms(u32::try_from(frame.max(0)).unwrap_or(u32::MAX))
    };
    let reference = Span { start_ms: moved(first.frame), end_ms: moved(last.frame + (last.term & 63)) };
    let from = upload.partition_point(|mark| mark.frame < first.frame);
    let to = upload.partition_point(|mark| mark.frame <= last.frame);
    let count = u64::try_from(to - from).unwrap_or(u64::MAX);
    Some(Segment {
        channel: Channel::Audio,
        query,
        reference,
        transform: Dihedral::Original,
        evidence: u32::try_from(terms.len()).unwrap_or(u32::MAX),
        marks: u32::try_from(votes.len()).unwrap_or(u32::MAX),
        share_permille: super::permille(votes.len() as u64, count),
    })
}
