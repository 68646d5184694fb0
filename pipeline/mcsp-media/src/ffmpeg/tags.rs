//! What the numbers and letters of container tags mean: display matrices and languages.

use mcsp_domain::Orientation;

/// Reads the linear part of a display matrix: rows (a b) and (c d) map right and down of the coded picture.
pub(super) fn orientation_of(matrix: [i32; 9]) -> Option<Orientation> {
    let [a, b, _, c, d, ..] = matrix.map(f64::from);
    let upright = a.abs().min(d.abs());
    let turned = b.abs().min(c.abs());
    // What is less than a hundredth beside the rest is rounding.
    let sign = |value: f64, whole: f64| {
        if value.abs() * 100.0 < whole {
            0
        } else if value > 0.0 {
            1
        } else {
            -1
        }
    };
    let whole = upright.max(turned);
    let turns = match [sign(a, whole), sign(b, whole), sign(c, whole), sign(d, whole)] {
        [1, 0, 0, 1] => (0, false),
        [0, 1, -1, 0] => (1, false),
        [-1, 0, 0, -1] => (2, false),
        [0, -1, 1, 0] => (3, false),
        [-1, 0, 0, 1] => (0, true),
        [0, -1, -1, 0] => (1, true),
        [1, 0, 0, -1] => (2, true),
        [0, 1, 1, 0] => (3, true),
        _ => return None,
    };
    Some(Orientation { quarter_turns: turns.0, mirrored: turns.1 })
}

/// Returns three lowercase letters (ISO 639-2), from those or from two of ISO 639-1 for common languages.
pub(super) fn language_code(tag: &str) -> String {
    let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let known = [
        ("en", "eng"),
        ("de", "deu"),
        ("fr", "fra"),
        ("es", "spa"),
        ("it", "ita"),
        ("pt", "por"),
        ("nl", "nld"),
        ("ru", "rus"),
        ("ja", "jpn"),
        ("zh", "zho"),
        ("ko", "kor"),
        ("ar", "ara"),
        ("hi", "hin"),
        ("pl", "pol"),
        ("sv", "swe"),
        ("da", "dan"),
        ("nb", "nob"),
        ("no", "nor"),
        ("fi", "fin"),
        ("tr", "tur"),
        ("cs", "ces"),
        ("el", "ell"),
        ("he", "heb"),
        ("hu", "hun"),
        ("uk", "ukr"),
        ("ro", "ron"),
        ("th", "tha"),
        ("vi", "vie"),
    ];
    let letters = primary.len() == 3 && primary.bytes().all(|byte| byte.is_ascii_lowercase());
    match known.iter().find(|(short, _)| *short == primary) {
        Some(&(_, long)) => long.into(),
        None if letters => primary,
        None => "und".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 1 << 16;

    #[test]
    fn matrices_become_turns() {
        let cases = [
            ([ONE, 0, 0, ONE], Some((0, false))),
            ([0, ONE, -ONE, 0], Some((1, false))),
            ([-ONE, 0, 0, -ONE], Some((2, false))),
            ([0, -ONE, ONE, 0], Some((3, false))),
            ([-ONE, 0, 0, ONE], Some((0, true))),
            ([ONE, 0, 0, -ONE], Some((2, true))),
            ([46341, 46341, -46341, 46341], None),
            ([0, 0, 0, 0], None),
        ];
        for ([a, b, c, d], turns) in cases {
            let orientation = orientation_of([a, b, 0, c, d, 0, 0, 0, 1 << 30]);
            assert_eq!(orientation.map(|found| (found.quarter_turns, found.mirrored)), turns, "{a} {b} {c} {d}");
        }
    }

    #[test]
    fn languages_become_three_letters() {
        for (tag, code) in
            [("eng", "eng"), ("de-AT", "deu"), ("", "und"), ("x1", "und"), ("ENG", "eng"), ("klingon", "und")]
        {
            assert_eq!(language_code(tag), code, "{tag}");
        }
    }
}
