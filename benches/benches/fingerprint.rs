//! The fingerprint's stations: a hash per picture, a look-up in a million hashes, landmarks of a minute of sound.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a bench stops where it cannot go on")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mcsp_domain::ReferenceId;
use mcsp_fingerprint::audio::{AudioHasher, SAMPLE_RATE_HZ};
use mcsp_fingerprint::index::SURE_RADIUS;
use mcsp_fingerprint::video::{PdqHash, PdqHasher};
use mcsp_fingerprint::{Fingerprint, Index, IndexBuilder, ReferenceAsset, RightsPolicy, VideoMark};

/// Hashes of the library that is searched.
const LIBRARY_PICTURES: u32 = 1_000_000;
/// Seconds of sound that are hashed at once.
const SOUND_S: u32 = 60;

/// Numbers that repeat from run to run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn hash(&mut self) -> PdqHash {
        PdqHash::from_words([self.next(), self.next(), self.next(), self.next()])
    }
}

/// One picture with its eight forms, as the scanner's taps come and as the peers were measured.
fn pdq(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pdq");
    for (name, width_px, height_px) in [("512x288", 512, 288), ("640x360", 640, 360), ("1280x720", 1280, 720)] {
        let mut numbers = Numbers(1);
        let luma: Vec<u8> = (0..width_px * height_px).map(|_| numbers.next().to_le_bytes()[0]).collect();
        let mut hasher = PdqHasher::new();
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| hasher.hash_luma(black_box(&luma), width_px, height_px).unwrap());
        });
    }
    group.finish();
}

/// One hash looked up, within the radius in which every near one is found and within that of votes.
fn probe(criterion: &mut Criterion) {
    let mut numbers = Numbers(2);
    let mark = |time_ms| VideoMark { time_ms, quality: 100, hashes: [numbers.hash(); 8] };
    let fingerprint = Fingerprint { video: (0..LIBRARY_PICTURES).map(mark).collect(), audio: Vec::new() };
    let asset = ReferenceAsset {
        id: ReferenceId::new(0, &[0; 10]),
        title: "a million pictures".to_owned(),
        owner: "a bench".to_owned(),
        duration_ms: u64::from(LIBRARY_PICTURES),
        policy: RightsPolicy::default(),
    };
    let mut builder = IndexBuilder::new();
    builder.add(&asset, &fingerprint).unwrap();
    drop(fingerprint);
    let bytes = builder.build();
    let index = Index::open(&bytes).unwrap();
    let mut group = criterion.benchmark_group("probe 1M");
    group.throughput(Throughput::Elements(1));
    for (name, radius) in [("radius 31", SURE_RADIUS), ("radius 80", 80)] {
        let (mut numbers, mut near) = (Numbers(3), Vec::new());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index.near(&numbers.hash(), radius, &mut near);
                near.len()
            });
        });
    }
    group.finish();
}

/// Sound of many changing tones; the throughput is in samples, 11,025 of which are a second.
fn landmarks(criterion: &mut Criterion) {
    let mut numbers = Numbers(4);
    let mut samples = Vec::new();
    for note in 0..SOUND_S * 4 {
        let pitch = 0.05 + f64::from(u32::try_from(numbers.next() >> 40).unwrap()) / f64::from(1 << 24);
        for at in 0..SAMPLE_RATE_HZ / 4 {
            let value = (f64::from(at) * pitch).sin() + 0.5 * (f64::from(at) * pitch * 2.0 + f64::from(note)).sin();
            samples.push((value * 12_000.0) as i16);
        }
    }
    let mut group = criterion.benchmark_group("landmarks");
    group.throughput(Throughput::Elements(samples.len() as u64)).measurement_time(Duration::from_secs(10));
    group.bench_function("60 s", |bencher| {
        bencher.iter(|| {
            let mut hasher = AudioHasher::new();
            hasher.push(black_box(&samples)).unwrap();
            hasher.finish().len()
        });
    });
    group.finish();
}

criterion_group!(stations, pdq, probe, landmarks);
criterion_main!(stations);
