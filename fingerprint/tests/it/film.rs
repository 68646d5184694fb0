//! Excerpts of a film are found where they are, others are not, and policies are followed.

use std::sync::OnceLock;

use mcsp_fingerprint::audio::AudioHasher;
use mcsp_fingerprint::video::{Frame, VideoHasher};
use mcsp_fingerprint::{Channel, Fingerprint, Index, RightsAction, RightsDecision, RightsPolicy, Verdict, decide};

use crate::scene::{Cut, Film, fingerprint, library, melody, pictures, told, uploader, whole};

/// 8 s of another film, 12 s of film 1 from its 14th second on, 6 s of another.
const SPLICE: [Cut; 3] = [
    Cut { film: Film(50), from_s: 0.0, len_s: 8.0 },
    Cut { film: Film(1), from_s: 14.0, len_s: 12.0 },
    Cut { film: Film(51), from_s: 0.0, len_s: 6.0 },
];

fn blocking() -> &'static [u8] {
    static LIBRARY: OnceLock<Vec<u8>> = OnceLock::new();
    LIBRARY.get_or_init(|| library(&RightsPolicy::default(), 1))
}

fn judge(library: &[u8], upload: &Fingerprint) -> RightsDecision {
    decide(&Index::open(library).unwrap().search(upload).unwrap(), uploader())
}

fn near(found_ms: u64, wanted_ms: u64) -> bool {
    found_ms.abs_diff(wanted_ms) <= 1000
}

#[test]
fn an_excerpt_is_found_where_it_is() {
    let decision = judge(blocking(), &fingerprint(&SPLICE, 130));
    assert_eq!(decision.verdict, Verdict::Blocked, "{}", told(&decision));
    let [asset] = &decision.assets[..] else { panic!("{}", told(&decision)) };
    for channel in [Channel::Video, Channel::Audio] {
        let of_channel: Vec<_> = asset.segments.iter().filter(|segment| segment.channel == channel).collect();
        let [segment] = of_channel[..] else { panic!("{}", told(&decision)) };
        let (query, reference) = (segment.query, segment.reference);
        assert!(near(query.start_ms, 8000) && near(query.end_ms, 20_000), "{}", told(&decision));
        assert!(near(reference.start_ms, 14_000) && near(reference.end_ms, 26_000), "{}", told(&decision));
    }
    assert_eq!(decision.spans().len(), 1);
    assert_eq!(decision.library, Index::open(blocking()).unwrap().digest());
    assert!(asset.reason.starts_with("\"film 1\" of a studio: "), "{}", asset.reason);
}

#[test]
fn both_ways_of_looking_up_decide_alike() {
    let linear = library(&RightsPolicy::default(), usize::MAX);
    let upload = fingerprint(&SPLICE, 130);
    let (a, b) = (judge(blocking(), &upload), judge(&linear, &upload));
    assert_eq!((a.verdict, told(&a)), (b.verdict, told(&b)));
}

#[test]
fn a_mirrored_excerpt_is_told_as_such() {
    let upload = Fingerprint { video: pictures(&SPLICE, 130, true), audio: Vec::new() };
    assert_eq!(told(&judge(blocking(), &upload)), "Blocked; film 1 Blocked, Video FlipY 8-20 is 14-26");
}

#[test]
fn sound_alone_and_pictures_alone_are_enough() {
    let audio = Fingerprint { video: Vec::new(), audio: melody(&SPLICE) };
    assert_eq!(judge(blocking(), &audio).verdict, Verdict::Blocked);
    let video = Fingerprint { video: pictures(&SPLICE, 0, false), audio: Vec::new() };
    assert_eq!(judge(blocking(), &video).verdict, Verdict::Blocked);
}

#[test]
fn other_films_are_cleared() {
    for number in 60..63 {
        assert_eq!(told(&judge(blocking(), &whole(Film(number), 30.0))), "Cleared");
    }
}

#[test]
fn a_short_excerpt_is_cleared_and_told() {
    let short = [SPLICE[0], Cut { film: Film(1), from_s: 14.0, len_s: 4.0 }, SPLICE[2]];
    let decision = judge(blocking(), &fingerprint(&short, 0));
    assert_eq!(decision.verdict, Verdict::Cleared, "{}", told(&decision));
    assert_eq!(decision.assets.len(), 1, "{}", told(&decision));
    assert!(decision.reason.ends_with(" s"), "{}", decision.reason);
}

#[test]
fn black_and_silence_and_a_tone_match_nothing() {
    // Even where the library holds the same.
    let mut flat = VideoHasher::new();
    for second in 0..40 {
        flat.push(Frame { time_ms: second * 1000, width_px: 96, height_px: 54, luma: &[16; 96 * 54] }).unwrap();
    }
    let sound = |value: fn(f64) -> f64| {
        let mut hasher = AudioHasher::new();
        let samples: Vec<i16> = (0..441_000).map(|at| (value(f64::from(at) / 11_025.0) * 20_000.0) as i16).collect();
        hasher.push(&samples).unwrap();
        hasher.finish()
    };
    let silence = Fingerprint { video: flat.finish(), audio: sound(|_| 0.0) };
    let tone =
        Fingerprint { video: Vec::new(), audio: sound(|time_s| (time_s * 1000.0 * std::f64::consts::TAU).sin()) };
    let mut builder = mcsp_fingerprint::IndexBuilder::new();
    for (number, fingerprint) in [(8, &silence), (9, &tone)] {
        builder.add(&crate::scene::asset(number, RightsPolicy::default(), 40_000), fingerprint).unwrap();
    }
    let bytes = builder.build();
    for upload in [&silence, &tone] {
        assert_eq!(told(&judge(&bytes, upload)), "Cleared");
    }
}

#[test]
fn policies_are_followed() {
    let verdict = |policy: RightsPolicy| {
        let upload = Fingerprint { video: pictures(&SPLICE, 0, false), audio: Vec::new() };
        judge(&library(&policy, usize::MAX), &upload).verdict
    };
    let policy = RightsPolicy::default;
    assert_eq!(verdict(RightsPolicy { action: RightsAction::Review, ..policy() }), Verdict::Review);
    assert_eq!(verdict(RightsPolicy { action: RightsAction::Allow, ..policy() }), Verdict::Cleared);
    assert_eq!(verdict(RightsPolicy { allowed: vec![uploader()], ..policy() }), Verdict::Cleared);
    assert_eq!(verdict(RightsPolicy { video_ms_min: 20_000, ..policy() }), Verdict::Cleared);
    assert_eq!(verdict(policy()), Verdict::Blocked);
}

#[test]
fn a_decision_survives_json() {
    let decision = judge(blocking(), &fingerprint(&SPLICE, 130));
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<RightsDecision>(&text).unwrap(), decision);
}

#[test]
fn sound_in_pieces_is_the_same_sound() {
    let samples: Vec<i16> = (0..60_000_i32).map(|at| ((at % 977) * (at % 13) % 4000 - 2000) as i16).collect();
    let marks = |piece: usize| {
        let mut hasher = AudioHasher::new();
        for piece in samples.chunks(piece) {
            hasher.push(piece).unwrap();
        }
        hasher.finish()
    };
    assert!(!marks(60_000).is_empty());
    assert_eq!(marks(60_000), marks(333));
}
