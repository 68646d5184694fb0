//! What follows from matches, by the policies that are stored with the index. Order: allow-list, policy, evidence. Sure
//! matches that are long enough do what the policy says; long ones that are not sure go to a person; short ones go on.

use mcsp_domain::{Digest, ReferenceId, UserId};
use serde::{Deserialize, Serialize};

use super::{Channel, Match, Matches, Segment, Span};
use crate::index::{RightsAction, RightsPolicy};

/// Which rules and thresholds decided; raised with each change of either.
pub const ALGORITHM: u32 = 1;
/// Evidence from which a stretch of pictures is sure: above all pairs of other scenes in one room that were measured.
pub const VIDEO_SURE: u32 = 400;
/// Landmarks from which a stretch of sound is sure.
pub const AUDIO_SURE: u32 = 20;
/// The share of an upload's landmarks that agree in a sure stretch, in thousandths: two versions of one piece share fewer.
const AUDIO_SURE_PERMILLE: u16 = 60;
/// The part of a short reference that must be matched: four fifths.
const SHORT_PART: (u64, u64) = (4, 5);
/// The least that is ever asked for.
const NEEDED_MS_MIN: u64 = 1000;
/// Segments of one asset in a decision.
const SEGMENTS_MAX: usize = 16;

/// What becomes of an upload; the later wins over the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It goes on.
    Cleared,
    /// A person decides.
    Review,
    /// It ends.
    Blocked,
}

/// One reference that an upload shares something with, and what followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchedAsset {
    /// The reference.
    pub reference: ReferenceId,
    /// Its title.
    pub title: String,
    /// Who holds the rights.
    pub owner: String,
    /// What follows from this reference.
    pub verdict: Verdict,
    /// The policy row that was used.
    pub policy: RightsPolicy,
    /// Why, in words for the uploader.
    pub reason: String,
    /// The stretches, the strongest first.
    pub segments: Vec<Segment>,
}

/// What becomes of an upload, with all that it was decided by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsDecision {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why, in words for the uploader.
    pub reason: String,
    /// The references, the gravest first.
    pub assets: Vec<MatchedAsset>,
    /// The digest of the index, and so of the policies, that were used.
    pub library: Digest,
    /// The version of rules and thresholds.
    pub algorithm: u32,
}

impl RightsDecision {
    /// Returns the stretches of the upload that led to the verdict, in rising time, put together where they touch.
    pub fn spans(&self) -> Vec<Span> {
        let grave = self.assets.iter().filter(|asset| asset.verdict == self.verdict);
        joined(grave.flat_map(|asset| &asset.segments).map(|segment| segment.query).collect())
    }
}

/// Decides what becomes of the upload of `uploader` that `matches` were found in.
pub fn decide(matches: &Matches, uploader: UserId) -> RightsDecision {
    let mut assets: Vec<MatchedAsset> = matches.matches.iter().map(|found| judge(found, uploader)).collect();
    assets.sort_by_key(|asset| std::cmp::Reverse(asset.verdict));
    let (verdict, reason) = match assets.first() {
        Some(gravest) => (gravest.verdict, gravest.reason.clone()),
        None => (Verdict::Cleared, "nothing of it is in the library".to_owned()),
    };
    RightsDecision { verdict, reason, assets, library: matches.library, algorithm: ALGORITHM }
}

fn judge(found: &Match, uploader: UserId) -> MatchedAsset {
    let (asset, policy) = (&found.asset, &found.asset.policy);
    let (verdict, why) = if policy.allowed.contains(&uploader) {
        (Verdict::Cleared, "its owner allows this uploader to use it".to_owned())
    } else {
        weigh(found)
    };
    MatchedAsset {
        reference: asset.id,
        title: asset.title.clone(),
        owner: asset.owner.clone(),
        verdict,
        policy: policy.clone(),
        reason: format!("{:?} of {}: {why}", asset.title, asset.owner),
        segments: found.segments.iter().take(SEGMENTS_MAX).copied().collect(),
    }
}

/// Weighs both channels and takes the graver answer.
fn weigh(found: &Match) -> (Verdict, String) {
    let policy = &found.asset.policy;
    let video = (Channel::Video, policy.video_ms_min);
    let audio = (Channel::Audio, policy.audio_ms_min);
    let answers = [video, audio].map(|(channel, ms_min)| weigh_channel(found, channel, ms_min));
    let gravest = answers.into_iter().flatten().max_by_key(|(verdict, _)| *verdict);
    gravest.unwrap_or((Verdict::Cleared, "no stretch of it".to_owned()))
}

fn weigh_channel(found: &Match, channel: Channel, ms_min: u64) -> Option<(Verdict, String)> {
    let of_channel = || found.segments.iter().filter(move |segment| segment.channel == channel);
    let spans = |sure_only: bool| joined(of_channel().filter(|s| !sure_only || is_sure(s)).map(|s| s.query).collect());
    let total_ms = |spans: &[Span]| spans.iter().map(Span::len_ms).sum::<u64>();
    let (all, sure) = (spans(false), spans(true));
    let longest = all.iter().max_by_key(|span| span.len_ms())?;
    let (part, whole) = SHORT_PART;
    let needed_ms = ms_min.min(found.asset.duration_ms.saturating_mul(part) / whole).max(NEEDED_MS_MIN);
    let what = match channel {
        Channel::Video => "pictures",
        Channel::Audio => "sound",
    };
    let (all_ms, sure_ms) = (total_ms(&all), total_ms(&sure));
    let told = |ms: u64| format!("{}.{} s of its {what}", ms / 1000, ms % 1000 / 100);
    let place = format!("from {} s on", longest.start_ms / 1000);
    Some(match found.asset.policy.action {
        RightsAction::Allow => (Verdict::Cleared, format!("{} {place}, which its owner allows", told(all_ms))),
        RightsAction::Block if sure_ms >= needed_ms => (Verdict::Blocked, format!("{} {place}", told(sure_ms))),
        RightsAction::Review if sure_ms >= needed_ms => (Verdict::Review, format!("{} {place}", told(sure_ms))),
        _ if all_ms >= needed_ms => (Verdict::Review, format!("{} {place}, perhaps", told(all_ms))),
        _ => (Verdict::Cleared, format!("{} {place}, fewer than {} s", told(all_ms), needed_ms.div_ceil(1000))),
    })
}

fn is_sure(segment: &Segment) -> bool {
    match segment.channel {
        Channel::Video => segment.evidence >= VIDEO_SURE,
        Channel::Audio => segment.evidence >= AUDIO_SURE && segment.share_permille >= AUDIO_SURE_PERMILLE,
    }
}

/// Puts spans together where they overlap or touch.
fn joined(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start_ms, span.end_ms));
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start_ms <= last.end_ms => last.end_ms = last.end_ms.max(span.end_ms),
            _ => joined.push(span),
        }
    }
    joined
}
