//! PDQ against the reference's own answers (`fixtures/fingerprint`): every bit and every quality.

use mcsp_fingerprint::video::{DIHEDRAL_COUNT, Pdq, PdqHash, PdqHasher};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    width: usize,
    height: usize,
    offset: Option<usize>,
    hash: String,
    quality: u8,
    dihedrals: [String; DIHEDRAL_COUNT],
}

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/fingerprint").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn vectors() -> Vec<Vector> {
    serde_json::from_slice(&fixture("pdq-vectors.json")).unwrap()
}

/// The pattern of `fixtures/fingerprint/README.md`.
fn pattern(width: u64, height: u64, seed: u64) -> Vec<u8> {
    let value = |x: u64, y: u64| {
        let block = (x / 37) * 2_654_435_761 + (y / 29) * 2_246_822_519 + seed * 3_266_489_917;
        let value = ((block >> 13) & 127) + (x * y / 301) % 97 + (x * 7 + y * 3) % 31;
        u8::try_from(value & 255).unwrap()
    };
    (0..height).flat_map(|y| (0..width).map(move |x| value(x, y))).collect()
}

fn hash(hasher: &mut PdqHasher, vector: &Vector, frames: &[u8]) -> Pdq {
    let (width, height) = (vector.width, vector.height);
    let plane = |seed: u64| pattern(width as u64, height as u64, seed);
    match (vector.offset, vector.name.as_str()) {
        (Some(offset), _) => hasher.hash_luma(&frames[offset..offset + width * height], width, height),
        (None, "pattern") => hasher.hash_luma(&plane(1), width, height),
        (None, _) => {
            let (red, green, blue) = (plane(1), plane(2), plane(3));
            let rgb: Vec<u8> = (0..width * height).flat_map(|at| [red[at], green[at], blue[at]]).collect();
            hasher.hash_rgb(&rgb, width, height)
        }
    }
    .unwrap()
}

#[test]
fn every_bit_is_the_references() {
    let (frames, vectors) = (fixture("pdq-frames.bin"), vectors());
    assert_eq!(vectors.len(), 40);
    let mut hasher = PdqHasher::new();
    for vector in &vectors {
        let pdq = hash(&mut hasher, vector, &frames);
        let name = format!("{} at {}x{}", vector.name, vector.width, vector.height);
        assert_eq!(pdq.hash().to_string(), vector.hash, "{name}");
        assert_eq!(pdq.quality, vector.quality, "quality of {name}");
        assert_eq!(pdq.dihedrals.map(|hash| hash.to_string()), vector.dihedrals, "forms of {name}");
        assert_eq!(PdqHash::parse(&vector.hash).unwrap(), pdq.hash());
    }
}

#[test]
fn planes_that_do_not_fit_are_refused() {
    let mut hasher = PdqHasher::new();
    let error = hasher.hash_luma(&[0; 99], 10, 10).unwrap_err();
    assert_eq!(error.to_string(), "luma plane of 99 bytes is not 10x10 pixels");
    assert!(hasher.hash_luma(&[], 0, 0).is_err());
    assert!(hasher.hash_rgb(&[0; 100], 10, 10).is_err());
    assert!(hasher.hash_luma(&[0; 40_000], 40_000, 1).is_err());
}

#[test]
fn a_flat_picture_has_no_quality() {
    assert_eq!(PdqHasher::new().hash_luma(&[128; 320 * 180], 320, 180).unwrap().quality, 0);
}
