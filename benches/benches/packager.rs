//! The packager's stations on a real clip of 10 s (1080p60 and 5.1 sound): parse, plan, build each scheme, write manifests.
#![expect(clippy::unwrap_used, reason = "a bench stops where it cannot go on")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mcsp_benches::{Film, build_all, plan, protection};
use mcsp_domain::Scheme;
use mcsp_packager::bmff::Movie;
use mcsp_packager::manifest::{dash, hls};
use mcsp_packager::plan::SegmentBuffer;
use std::hint::black_box;

fn film() -> Film {
    Film::new(std::fs::read(mcsp_fixtures::media("bbb-1080p60.mp4")).unwrap()).unwrap()
}

/// Sample tables from bytes: cost is per sample, so the throughput is in samples.
fn parse(criterion: &mut Criterion) {
    let film = film();
    let sample_count: usize = Movie::parse(film.bytes()).unwrap().tracks.iter().map(|track| track.samples.len()).sum();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(sample_count as u64));
    group.bench_function("progressive mp4", |bencher| bencher.iter(|| Movie::parse(black_box(film.bytes())).unwrap()));
    group.finish();
}

/// Segments from sample tables.
fn plan_segments(criterion: &mut Criterion) {
    let film = film();
    let protection = protection(Scheme::Cbcs);
    criterion.bench_function("plan/two tracks", |bencher| {
        bencher.iter_batched(
            || film.renditions(),
            |inputs| plan(inputs, Some(&protection)).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

/// Segment bytes from a plan, clear and under both schemes.
fn build(criterion: &mut Criterion) {
    let film = film();
    let mut group = criterion.benchmark_group("build");
    group.throughput(Throughput::Bytes(film.media_bytes()));
    for (name, scheme) in [("clear", None), ("cenc", Some(Scheme::Cenc)), ("cbcs", Some(Scheme::Cbcs))] {
        let protection = scheme.map(protection);
        let plan = plan(film.renditions(), protection.as_ref()).unwrap();
        let mut buffer = SegmentBuffer::new();
        group.bench_function(name, |bencher| bencher.iter(|| build_all(black_box(&plan), &mut buffer).unwrap()));
    }
    group.finish();
}

/// HLS and DASH from a plan whose sizes are known.
fn manifests(criterion: &mut Criterion) {
    let film = film();
    let protection = protection(Scheme::Cbcs);
    let plan = plan(film.renditions(), Some(&protection)).unwrap();
    let sizes = build_all(&plan, &mut SegmentBuffer::new()).unwrap();
    let presentation = plan.presentation(&sizes);
    let mut group = criterion.benchmark_group("manifest");
    group.bench_function("dash", |bencher| bencher.iter(|| dash::mpd(black_box(&presentation)).unwrap()));
    group.bench_function("hls", |bencher| {
        bencher.iter(|| {
            let media =
                (0..presentation.renditions.len()).map(|index| hls::media(black_box(&presentation), index).unwrap());
            (hls::multivariant(black_box(&presentation)).unwrap(), media.collect::<Vec<_>>())
        });
    });
    group.finish();
}

criterion_group!(stations, parse, plan_segments, build, manifests);
criterion_main!(stations);
