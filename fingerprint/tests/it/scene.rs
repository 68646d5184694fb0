//! A film that a formula makes: scenes of moving waves, and a melody of notes with overtones.

use std::sync::OnceLock;

use mcsp_domain::{ReferenceId, UserId};
use mcsp_fingerprint::audio::{AudioHasher, SAMPLE_RATE_HZ};
use mcsp_fingerprint::video::{Frame, VideoHasher};
use mcsp_fingerprint::{AudioMark, Fingerprint, IndexBuilder, ReferenceAsset, RightsDecision, RightsPolicy, VideoMark};

const WIDTH_PX: usize = 96;
const HEIGHT_PX: usize = 54;
/// The length of a scene and of a note.
const SCENE_S: f64 = 1.7;
const NOTE_S: f64 = 0.31;

/// A film, told apart by its number.
#[derive(Clone, Copy)]
pub(crate) struct Film(pub(crate) u64);

/// From where to where, seconds.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) film: Film,
    pub(crate) from_s: f64,
    pub(crate) len_s: f64,
}

/// Returns a value from 0 to 1 that follows from three numbers (splitmix64).
fn chance(a: u64, b: u64, c: u64) -> f64 {
    let mut x = (a << 40) ^ (b << 16) ^ c;
    for _ in 0..3 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 27;
    }
    f64::from(u32::try_from(x >> 32).unwrap()) / f64::from(u32::MAX)
}

fn step(time_s: f64, len_s: f64) -> u64 {
    (time_s / len_s).floor() as u64
}

impl Film {
    /// Returns the picture at an instant.
    fn luma(self, time_s: f64, is_mirrored: bool) -> Vec<u8> {
        let scene = step(time_s, SCENE_S);
        let of = |wave: u64, what: u64| chance(self.0, scene * 16 + wave, what);
        let waves: Vec<[f64; 4]> = (0..14)
            .map(|wave| {
                [of(wave, 1) * 80.0 - 40.0, of(wave, 2) * 80.0 - 40.0, of(wave, 3) * 6.0, of(wave, 4) * 2.0 - 1.0]
            })
            .collect();
        let mut luma = Vec::with_capacity(WIDTH_PX * HEIGHT_PX);
        for row in 0..HEIGHT_PX {
            for column in 0..WIDTH_PX {
                let column = if is_mirrored { WIDTH_PX - 1 - column } else { column };
                let (x, y) = (column as f64 / WIDTH_PX as f64, row as f64 / HEIGHT_PX as f64);
                let value: f64 =
                    waves.iter().map(|[u, v, phase, speed]| (u * x + v * y + phase + speed * time_s).sin()).sum();
                luma.push((128.0 + value * 30.0).clamp(0.0, 255.0) as u8);
            }
        }
        luma
    }

    /// Returns the sound at an instant, -1 to 1.
    fn sound(self, time_s: f64) -> f64 {
        let mut value = 0.0;
        for voice in 0..3_u64 {
            let len_s = NOTE_S * (1.0 + voice as f64 * 0.37);
            let note = step(time_s, len_s);
            let pitch_hz = 180.0 * 2.0_f64.powf(chance(self.0, note, 90 + voice) * 3.0 + voice as f64 * 0.5);
            let since_s = time_s - note as f64 * len_s;
            let strength = (-since_s * 5.0).exp() * 0.2;
            for overtone in 1..4 {
                let over = f64::from(overtone);
                value += strength / over * (std::f64::consts::TAU * pitch_hz * over * since_s).sin();
            }
        }
        value
    }
}

/// Hashes cuts that follow each other, four pictures a second from `first_ms` on.
pub(crate) fn pictures(cuts: &[Cut], first_ms: u64, is_mirrored: bool) -> Vec<VideoMark> {
    let mut hasher = VideoHasher::new();
    let len_s: f64 = cuts.iter().map(|cut| cut.len_s).sum();
    for time_ms in (first_ms..(len_s * 1000.0) as u64).step_by(250) {
        let luma = match at(cuts, time_ms as f64 / 1000.0) {
            Some((film, time_s)) => film.luma(time_s, is_mirrored),
            None => continue,
        };
        hasher.push(Frame { time_ms, width_px: WIDTH_PX, height_px: HEIGHT_PX, luma: &luma }).unwrap();
    }
    hasher.finish()
}

/// Hashes the sound of cuts that follow each other.
pub(crate) fn melody(cuts: &[Cut]) -> Vec<AudioMark> {
    let rate = f64::from(SAMPLE_RATE_HZ);
    let len_s: f64 = cuts.iter().map(|cut| cut.len_s).sum();
    let sample = |at_sample: u64| {
        let value = at(cuts, at_sample as f64 / rate).map_or(0.0, |(film, time_s)| film.sound(time_s));
        (value * 20_000.0) as i16
    };
    let samples: Vec<i16> = (0..(len_s * rate) as u64).map(sample).collect();
    let mut hasher = AudioHasher::new();
    hasher.push(&samples).unwrap();
    hasher.finish()
}

fn at(cuts: &[Cut], time_s: f64) -> Option<(Film, f64)> {
    let mut start_s = 0.0;
    for cut in cuts {
        if time_s < start_s + cut.len_s {
            return Some((cut.film, cut.from_s + time_s - start_s));
        }
        start_s += cut.len_s;
    }
    None
}

/// Hashes both.
pub(crate) fn fingerprint(cuts: &[Cut], first_ms: u64) -> Fingerprint {
    Fingerprint { video: pictures(cuts, first_ms, false), audio: melody(cuts) }
}

/// Hashes a film from its start.
pub(crate) fn whole(film: Film, len_s: f64) -> Fingerprint {
    fingerprint(&[Cut { film, from_s: 0.0, len_s }], 0)
}

pub(crate) fn asset(number: u64, policy: RightsPolicy, duration_ms: u64) -> ReferenceAsset {
    let title = format!("film {number}");
    ReferenceAsset { id: ReferenceId::new(number, &[7; 10]), title, owner: "a studio".to_owned(), duration_ms, policy }
}

/// Builds a library of three films of 40 s; the first has the policy.
pub(crate) fn library(policy: &RightsPolicy, slotted_from: usize) -> Vec<u8> {
    static FILMS: OnceLock<Vec<Fingerprint>> = OnceLock::new();
    let films = FILMS.get_or_init(|| (1..4).map(|number| whole(Film(number), 40.0)).collect());
    let mut builder = IndexBuilder::new().slotted_from(slotted_from);
    for (number, film) in (1..).zip(films) {
        let policy = if number == 1 { policy.clone() } else { RightsPolicy::default() };
        builder.add(&asset(number, policy, 40_000), film).unwrap();
    }
    builder.build()
}

pub(crate) fn uploader() -> UserId {
    UserId::new(5, &[5; 10])
}

/// Writes a decision in the words of its tests: each stretch with its times rounded to seconds.
pub(crate) fn told(decision: &RightsDecision) -> String {
    let mut text = format!("{:?}", decision.verdict);
    let second = |ms: u64| (ms + 500) / 1000;
    for asset in &decision.assets {
        text.push_str(&format!("; {} {:?}", asset.title, asset.verdict));
        let mut segments = asset.segments.clone();
        segments.sort_by_key(|segment| (segment.channel == mcsp_fingerprint::Channel::Audio, segment.query.start_ms));
        for segment in &segments {
            let (query, reference) = (segment.query, segment.reference);
            text.push_str(&format!(
                ", {:?} {:?} {}-{} is {}-{}",
                segment.channel,
                segment.transform,
                second(query.start_ms),
                second(query.end_ms),
                second(reference.start_ms),
                second(reference.end_ms),
            ));
        }
    }
    text
}
