//! Common Encryption from outside: published vectors, samples that Shaka Packager sealed, and every sample opening again.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

use mcsp_domain::{Colour, ContentKey, KeyId, Scheme, TrackKey};
use mcsp_packager::cenc::{CencError, Opener, SampleLayout, Sealer, Subsample, sample_iv};
use mcsp_packager::{AacConfig, AvcConfig, MediaConfig};
use proptest::prelude::*;

const SHAKA: &str = include_str!("data/shaka-cbcs.txt");

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn track_key(key: &str, iv: &str) -> TrackKey {
    let iv = bytes(iv).try_into().unwrap();
    TrackKey { kid: KeyId::from_bytes([1; 16]), key: ContentKey::parse(key).unwrap(), iv }
}

fn shaka_lines(name: &str) -> impl Iterator<Item = &'static str> {
    let prefix = format!("{name} ");
    SHAKA.lines().filter_map(move |line| line.strip_prefix(&prefix))
}

fn shaka_key() -> TrackKey {
    track_key(shaka_lines("key").next().unwrap(), shaka_lines("iv").next().unwrap())
}

fn avc_track(decoder_config: Vec<u8>) -> MediaConfig {
    MediaConfig::Avc(AvcConfig { width_px: 192, height_px: 108, colour: Colour::UNSPECIFIED, decoder_config })
}

fn avc() -> SampleLayout {
    let avcc = bytes(shaka_lines("avcc").next().unwrap());
    SampleLayout::for_track(&avc_track(avcc)).unwrap()
}

fn whole() -> SampleLayout {
    let aac = AacConfig { sample_rate_hz: 48_000, channels: 2, audio_specific_config: vec![0x11, 0x90] };
    SampleLayout::for_track(&MediaConfig::Aac(aac)).unwrap()
}

fn shaka_samples() -> Vec<(Vec<u8>, Vec<u8>, Vec<Subsample>)> {
    let entry = |text: &str| {
        let (clear, protected) = text.split_once(':').unwrap();
        Subsample { clear_bytes: clear.parse().unwrap(), protected_bytes: protected.parse().unwrap() }
    };
    let sample = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (bytes(words[0]), bytes(words[1]), words[2].split(',').map(entry).collect())
    };
    shaka_lines("sample").map(sample).collect()
}

/// Seals a clear sample, or says why not.
fn seal(scheme: Scheme, layout: SampleLayout, sample: &[u8]) -> Result<(Vec<u8>, Vec<Subsample>), CencError> {
    let (mut sealed, mut entries) = (sample.to_vec(), Vec::new());
    Sealer::new(scheme, &shaka_key(), layout).seal([7; 8], &mut sealed, &mut entries)?;
    Ok((sealed, entries))
}

fn seal_error(sample: &[u8]) -> String {
    seal(Scheme::Cbcs, avc(), sample).unwrap_err().to_string()
}

/// One NAL unit with its length field of four bytes.
fn nal(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn cbcs_video_equals_shaka_packager() {
    let samples = shaka_samples();
    assert_eq!(samples.len(), 3);
    for (clear, sealed, entries) in samples {
        assert_eq!(seal(Scheme::Cbcs, avc(), &clear).unwrap(), (sealed, entries));
    }
}

#[test]
fn cbcs_audio_is_sp_800_38a_cbc_with_a_clear_tail() {
    // NIST SP 800-38A F.2.1, CBC-AES128.Encrypt.
    let key = track_key("2b7e151628aed2a6abf7158809cf4f3c", "000102030405060708090a0b0c0d0e0f");
    let mut sample = bytes(concat!(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        "c0ffee"
    ));
    let mut entries = Vec::new();
    Sealer::new(Scheme::Cbcs, &key, whole()).seal([0; 8], &mut sample, &mut entries).unwrap();
    let expected = concat!(
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        "c0ffee"
    );
    assert_eq!((hex::encode(sample), entries), (expected.to_owned(), vec![]));
}

#[test]
fn cenc_audio_is_rfc_3686_from_its_second_block() {
    // RFC 3686 test vector 1 counts from 1, Common Encryption from 0: one block goes before it.
    let key = track_key("ae6852f8121067cc4bf7a5765577f39e", "00000000000000000000000000000000");
    let mut sample = [&[0; 16][..], b"Single block msg"].concat();
    let mut entries = Vec::new();
    let iv = [0, 0, 0, 0x30, 0, 0, 0, 0];
    Sealer::new(Scheme::Cenc, &key, whole()).seal(iv, &mut sample, &mut entries).unwrap();
    assert_eq!(hex::encode(&sample[16..]), "e4095d4fb7a7b3792d6175a3261311b8");
}

#[test]
fn the_pattern_is_crate_cbc_over_every_tenth_block() {
    use cbc::cipher::{Array, BlockModeEncrypt, KeyIvInit};
    let (clear, _, entries) = shaka_samples().swap_remove(0);
    let (sealed, _) = seal(Scheme::Cbcs, avc(), &clear).unwrap();
    let mut expected = clear;
    let mut at_byte = 0;
    for entry in entries {
        let start = at_byte + usize::from(entry.clear_bytes);
        at_byte = start + entry.protected_bytes as usize;
        let key = shaka_key();
        let mut chain = cbc::Encryptor::<aes::Aes128>::new(&Array(*key.key.expose()), &Array(key.iv));
        for block in (start..at_byte).step_by(160).filter(|block| block + 16 <= at_byte) {
            let block: &mut [u8; 16] = (&mut expected[block..block + 16]).try_into().unwrap();
            chain.encrypt_block(block.into());
        }
    }
    assert_eq!(sealed, expected);
}

#[test]
fn long_clear_runs_take_several_entries() {
    let slice = shaka_samples()[0].0.clone();
    let sample = [nal(&[&[6][..], &[0x55; 140_000][..]].concat()), slice].concat();
    let (_, entries) = seal(Scheme::Cenc, avc(), &sample).unwrap();
    let full = Subsample { clear_bytes: u16::MAX, protected_bytes: 0 };
    assert_eq!(entries[..2], [full, full]);
    assert!(entries[2].protected_bytes > 0);
    let only_clear = nal(&[&[6][..], &[0x55; 65_530][..]].concat());
    let (_, entries) = seal(Scheme::Cbcs, avc(), &only_clear).unwrap();
    assert_eq!(entries, [full]);
}

#[test]
fn faulty_samples_are_refused_and_left_alone() {
    let good = shaka_samples()[0].0.clone();
    assert_eq!(
        seal_error(&[&good[..], &[0, 0, 1, 0, 0x41]].concat()),
        format!("nal unit at byte {} claims 256 bytes, 1 are left in the sample", good.len())
    );
    assert_eq!(seal_error(&[0, 0]), "nal unit at byte 0 claims 4 bytes, 2 are left in the sample");
    // first_mb 0, slice type 7, picture parameter set 1: 1 0001000 010.
    assert_eq!(seal_error(&nal(&[0x65, 0x88, 0x40])), "slice header names PPS 1, which avcC lacks");
    assert_eq!(seal_error(&nal(&[0x65, 0x88])), "slice header at byte 1: it is cut short");
    assert_eq!(
        seal_error(&nal(&[0x68, 0xee, 0x3c])),
        "sample carries a parameter set (nal unit type 8) that differs from avcC"
    );
    assert_eq!(seal_error(&nal(&[0x74, 1, 2])), "nal unit type 20 holds pictures in a form that is not supported");
    let (mut sample, mut entries) =
        ([&good[..], &[9]].concat(), vec![Subsample { clear_bytes: 1, protected_bytes: 2 }]);
    let before = (sample.clone(), entries.clone());
    Sealer::new(Scheme::Cbcs, &shaka_key(), avc()).seal([0; 8], &mut sample, &mut entries).unwrap_err();
    assert_eq!((sample, entries), before);
}

#[test]
fn a_sample_of_endless_slices_is_refused() {
    let slice = shaka_samples()[0].0.clone();
    let sample = slice.repeat(1400);
    assert_eq!(seal_error(&sample), "sample has more than 4096 subsamples");
}

#[test]
fn faulty_decoder_configurations_are_refused() {
    let avcc = bytes(shaka_lines("avcc").next().unwrap());
    let error = |record: &[u8]| SampleLayout::for_track(&avc_track(record.to_vec())).unwrap_err().to_string();
    for len in 0..avcc.len() - 4 {
        error(&avcc[..len]);
    }
    assert_eq!(error(&[]), "avcC of 0 bytes: it is no version 1 record");
    assert_eq!(error(&[1, 77, 0, 40, 0xfe, 0xe0, 0]), "avcC of 7 bytes: a length field of 3 bytes is not allowed");
    assert_eq!(error(&[1, 77, 0, 40, 0xff, 0xe0, 0]), "avcC of 7 bytes: it lacks parameter sets");
}

#[test]
fn opening_asks_for_entries_that_cover_the_sample() {
    let entries = [Subsample { clear_bytes: 3, protected_bytes: 16 }];
    let error = Opener::new(Scheme::Cenc, &shaka_key(), false).open([0; 8], &mut [0; 20], &entries).unwrap_err();
    assert_eq!(error.to_string(), "subsamples cover 19 bytes, the sample has 20");
}

#[test]
fn sample_ivs_name_their_place() {
    assert_eq!(sample_iv([0; 8], 1, 2, 3), [0, 1, 0, 2, 0, 0, 0, 3]);
    assert_eq!(sample_iv([0xff; 8], 0, 0, 1), [0; 8]);
}

/// A random NAL unit: slices that begin with the header of a real one, and others.
fn any_nal() -> impl Strategy<Value = Vec<u8>> {
    let real = shaka_samples().swap_remove(1).0;
    let length = u32::from_be_bytes(real[..4].try_into().unwrap()) as usize;
    let slice = real[4..4 + length.min(60)].to_vec();
    let data = prop::collection::vec(any::<u8>(), 0..700);
    prop_oneof![
        data.clone().prop_map(move |data| nal(&[&slice[..], &data].concat())),
        data.prop_map(|data| nal(&[&[6][..], &data].concat())),
        Just(nal(&[9, 0xf0])),
        Just(nal(&[])),
    ]
}

/// What must hold of any sealed sample: it opens again, its clear runs are untouched, its entries cover it.
fn check_round_trip(scheme: Scheme, layout: SampleLayout, video: bool, clear: &[u8]) -> Result<(), TestCaseError> {
    let (sealed, entries) = seal(scheme, layout, clear).unwrap();
    let mut at_byte = 0;
    for entry in &entries {
        let clear_end = at_byte + usize::from(entry.clear_bytes);
        prop_assert_eq!(&sealed[at_byte..clear_end], &clear[at_byte..clear_end]);
        at_byte = clear_end + entry.protected_bytes as usize;
        prop_assert!(scheme == Scheme::Cbcs || entry.protected_bytes % 16 == 0);
        let changes = if scheme == Scheme::Cenc { 1 } else { 16 };
        prop_assert!(entry.protected_bytes < changes || sealed[clear_end..at_byte] != clear[clear_end..at_byte]);
    }
    prop_assert!(!video || at_byte == clear.len());
    let mut opened = sealed;
    Opener::new(scheme, &shaka_key(), video).open([7; 8], &mut opened, &entries).unwrap();
    prop_assert_eq!(opened, clear);
    Ok(())
}

proptest! {
    #[test]
    fn sealed_video_opens(nals in prop::collection::vec(any_nal(), 0..12)) {
        let sample = nals.concat();
        check_round_trip(Scheme::Cbcs, avc(), true, &sample)?;
        check_round_trip(Scheme::Cenc, avc(), true, &sample)?;
    }

    #[test]
    fn sealed_audio_opens(sample in prop::collection::vec(any::<u8>(), 0..2000)) {
        check_round_trip(Scheme::Cbcs, whole(), false, &sample)?;
        check_round_trip(Scheme::Cenc, whole(), false, &sample)?;
    }

    #[test]
    fn any_bytes_are_answered(sample in prop::collection::vec(any::<u8>(), 0..400), record in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = seal(Scheme::Cbcs, avc(), &sample);
        let _ = seal(Scheme::Cenc, avc(), &nal(&[&[0x65][..], &sample].concat()));
        let _ = SampleLayout::for_track(&avc_track([&[1, 77, 0, 40, 0xff, 0xe1][..], &record].concat()));
    }

    #[test]
    fn runs_of_any_length_share_one_counter_stream(runs in prop::collection::vec((0u16..40, 0u32..900), 1..8)) {
        // Entries of other packagers need not be whole blocks: the opener must agree with one stream over all runs.
        let entries: Vec<Subsample> = runs.iter().map(|&(clear_bytes, protected_bytes)| Subsample { clear_bytes, protected_bytes }).collect();
        let sample_bytes: usize = runs.iter().map(|&(clear, protected)| usize::from(clear) + protected as usize).sum();
        let mut sample = vec![0; sample_bytes];
        Opener::new(Scheme::Cenc, &shaka_key(), true).open([7; 8], &mut sample, &entries).unwrap();
        let mut joined = Vec::new();
        let mut rest = &sample[..];
        for (clear, protected) in runs {
            let (run, after) = rest[usize::from(clear)..].split_at(protected as usize);
            joined.extend_from_slice(run);
            rest = after;
        }
        let (keystream, _) = seal(Scheme::Cenc, whole(), &vec![0; joined.len()]).unwrap();
        prop_assert_eq!(joined, keystream);
    }
}
