//! Stored bytes: what is written is read, and bytes from elsewhere neither panic nor allocate beyond their length.

use mcsp_fingerprint::index::{Near, SURE_RADIUS};
use mcsp_fingerprint::video::PdqHash;
use mcsp_fingerprint::{
    AudioMark, Fingerprint, Index, IndexBuilder, LibraryPointer, Reference, RightsPolicy, VideoMark,
};
use proptest::prelude::*;

use crate::scene::asset;

fn mark(time_ms: u32, words: [u64; 4]) -> VideoMark {
    VideoMark { time_ms, quality: 100, hashes: [PdqHash::from_words(words); 8] }
}

/// Returns a fingerprint of as many pictures and landmarks, drawn by a linear congruence.
fn drawn(count: u32, seed: u64) -> Fingerprint {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    };
    let video = (0..count).map(|at| mark(at * 250, [next(), next(), next(), next()])).collect();
    let audio = (0..count).map(|at| AudioMark { frame: at * 2, term: u32::try_from(next() >> 40).unwrap() }).collect();
    Fingerprint { video, audio }
}

fn library(slotted_from: usize) -> Vec<u8> {
    let mut builder = IndexBuilder::new().slotted_from(slotted_from);
    for number in 1..4 {
        builder.add(&asset(number, RightsPolicy::default(), 9000), &drawn(50, number)).unwrap();
    }
    builder.build()
}

/// Looks everything up that an index of hostile bytes could go wrong in.
fn use_all(index: &Index<'_>) {
    let upload = drawn(50, 1);
    let _ = index.search(&upload);
    let mut near: Vec<Near> = Vec::new();
    index.near(&upload.video[3].hashes[0], 255, &mut near);
    for asset in 0..5 {
        let _ = index.asset(asset);
    }
    for term in [0, 1 << 23, u32::MAX] {
        assert!(index.soundings(term).count() <= index.landmark_count());
    }
}

#[test]
fn an_index_finds_what_was_put_in() {
    let bytes = library(usize::MAX);
    let index = Index::open(&bytes).unwrap();
    assert_eq!((index.asset_count(), index.picture_count(), index.landmark_count()), (3, 150, 150));
    assert_eq!(index.asset(1).unwrap(), asset(2, RightsPolicy::default(), 9000));
    let upload = drawn(50, 2);
    let mut near = Vec::new();
    index.near(&upload.video[7].hashes[0], 0, &mut near);
    assert_eq!(near, [Near { picture: 57, distance: 0 }]);
    let sounding = index.soundings(upload.audio[7].term).next().unwrap();
    assert_eq!((sounding.asset, sounding.frame), (1, 14));
}

#[test]
fn the_order_of_additions_does_not_matter() {
    let mut builder = IndexBuilder::new().slotted_from(usize::MAX);
    for number in [3, 1, 2] {
        builder.add(&asset(number, RightsPolicy::default(), 9000), &drawn(50, number)).unwrap();
    }
    let twice = builder.add(&asset(1, RightsPolicy::default(), 9000), &drawn(1, 1)).unwrap_err();
    assert!(twice.to_string().ends_with("is there twice"));
    assert!(builder.build() == library(usize::MAX));
}

#[test]
fn an_empty_library_is_one() {
    let bytes = IndexBuilder::new().build();
    let index = Index::open(&bytes).unwrap();
    assert!(index.search(&drawn(20, 1)).unwrap().matches.is_empty());
}

#[test]
fn a_changed_byte_is_noticed() {
    let bytes = library(usize::MAX);
    for at in [45, 90, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Index::open(&changed).is_err(), "byte {at} was changed");
    }
    assert!(Index::open(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn a_reference_and_a_pointer_survive() {
    let reference = Reference { asset: asset(4, RightsPolicy::default(), 9000), fingerprint: drawn(20, 4) };
    let bytes = reference.to_bytes().unwrap();
    assert_eq!(Reference::from_bytes(&bytes).unwrap(), reference);
    for len_bytes in 0..bytes.len() {
        assert!(Reference::from_bytes(&bytes[..len_bytes]).is_err());
    }
    let pointer =
        LibraryPointer { index: mcsp_domain::Digest::of(&[b"index"]), len_bytes: 5, references: 1, built_us: 7 };
    assert_eq!(LibraryPointer::parse(&pointer.to_json()).unwrap(), pointer);
    assert!(pointer.key().as_str().starts_with("library/index-"));
}

#[test]
fn slots_find_all_within_the_sure_radius() {
    let reference = drawn(300, 9);
    let mut builder = IndexBuilder::new().slotted_from(1);
    builder.add(&asset(1, RightsPolicy::default(), 75_000), &reference).unwrap();
    let bytes = builder.build();
    let index = Index::open(&bytes).unwrap();
    let (mut near, mut state) = (Vec::new(), 1_u64);
    for (picture, mark) in (0..).zip(&reference.video) {
        let mut words = mark.hashes[0].words();
        for _ in 0..SURE_RADIUS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            let bit = usize::try_from(state >> 56).unwrap();
            words[bit / 64] ^= 1 << (bit % 64);
        }
        let query = PdqHash::from_words(words);
        let distance = query.distance(&mark.hashes[0]);
        index.near(&query, SURE_RADIUS, &mut near);
        assert_eq!(near.first(), Some(&Near { picture, distance }));
    }
}

proptest! {
    #[test]
    fn fingerprints_survive(count in 0_u32..40, seed: u64) {
        let fingerprint = drawn(count, seed);
        prop_assert_eq!(Fingerprint::from_bytes(&fingerprint.to_bytes()).unwrap(), fingerprint);
    }

    #[test]
    fn bytes_from_elsewhere_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Fingerprint::from_bytes(&bytes);
        let _ = Reference::from_bytes(&bytes);
        let _ = Index::reopen(&bytes);
        let _ = LibraryPointer::parse(&bytes);
        for magic in [b"MCSPFP\r\n", b"MCSPRF\r\n", b"MCSPIX\r\n"] {
            let begun = [&magic[..], &1_u32.to_le_bytes(), &bytes].concat();
            let _ = Fingerprint::from_bytes(&begun);
            let _ = Reference::from_bytes(&begun);
            if let Ok(index) = Index::reopen(&begun) {
                use_all(&index);
            }
        }
    }

    #[test]
    fn a_changed_index_does_no_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = library(usize::MAX);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(index) = Index::reopen(&bytes) {
            use_all(&index);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_changed_slot_does_no_harm(changes in proptest::collection::vec((0_usize..65_537 * 16, any::<u32>()), 1..2000)) {
        let mut bytes = library(1);
        // The starts of slots lie behind the header, the assets, the hashes and the times.
        let starts = 40 + 32 + 3 * 24 + 150 * 36;
        for (word, value) in changes {
            bytes[starts + word * 4..starts + word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        use_all(&Index::reopen(&bytes).unwrap());
    }
}
