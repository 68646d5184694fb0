//! The rules themselves: a pure function from measurements to an approval or a flag, with reasons.

use mcsp_events::TimeRange;

use super::measure::Measured;
use super::words::Rules;

/// Pictures that spread less than this show nothing: noise of a covered lens has 2, a credit roll some 20.
const BLANK_SPREAD_MAX: u8 = 4;
/// The part of a film that may show nothing, in tenths.
const BLANK_TENTHS: usize = 9;
/// Pictures from which blankness is judged: fewer are a clip of some seconds that may begin in the dark.
const BLANK_PICTURES_MIN: usize = 3;
/// Flashing of all ranges that people look at: a battle of one film has a salvo, which its viewers are warned of.
const FLASHING_MS_MIN: u64 = 1500;
/// Ranges that a flag carries.
const RANGES_MAX: usize = 100;
/// How sure each rule is, in thousandths: a word may be meant otherwise, a flash was measured.
const WORDS_PERMILLE: u16 = 500;
const BLANK_PERMILLE: u16 = 700;
const FLASHING_PERMILLE: u16 = 900;

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// No rule applies.
    Approved {
        /// What was looked at, in words.
        reason: String,
    },
    /// A person decides.
    Flagged {
        /// The rules that apply.
        labels: Vec<String>,
        /// How sure the surest of them is, in thousandths.
        confidence_permille: u16,
        /// Where in the film, for those that know.
        ranges: Vec<TimeRange>,
        /// Why, in words.
        reason: String,
    },
}

/// Judges a film by its texts (title, file name) and measurements.
pub fn judge(texts: &[&str], measured: &Measured, rules: &Rules) -> Judgement {
    let mut flag = Flag::default();
    for (label, word) in texts.iter().flat_map(|text| rules.labels_of(text)) {
        flag.raise(&label, WORDS_PERMILLE, &format!("{word:?} is a word of the list {label}"));
    }
    let flashing_ms: u64 = measured.flashes.iter().map(|range| range.end_ms.saturating_sub(range.start_ms)).sum();
    if let Some(reason) = flashing(measured).filter(|_| flashing_ms >= FLASHING_MS_MIN) {
        flag.raise("flashing", FLASHING_PERMILLE, &reason);
        flag.ranges = measured.flashes.iter().take(RANGES_MAX).copied().collect();
    }
    let blank = measured.pictures.iter().filter(|picture| picture.spread <= BLANK_SPREAD_MAX).count();
    let all = measured.pictures.len();
    if all >= BLANK_PICTURES_MIN && blank * 10 >= all * BLANK_TENTHS {
        flag.raise("blank", BLANK_PERMILLE, &format!("{blank} of {all} pictures show nothing"));
    }
    if flag.labels.is_empty() {
        return Judgement::Approved { reason: looked_at(measured) };
    }
    let reason = flag.reasons.join("; ");
    Judgement::Flagged {
        labels: flag.labels,
        confidence_permille: flag.confidence_permille,
        ranges: flag.ranges,
        reason,
    }
}

#[derive(Default)]
struct Flag {
    labels: Vec<String>,
    reasons: Vec<String>,
    confidence_permille: u16,
    ranges: Vec<TimeRange>,
}

impl Flag {
    fn raise(&mut self, label: &str, confidence_permille: u16, reason: &str) {
        self.confidence_permille = self.confidence_permille.max(confidence_permille);
        if self.labels.iter().all(|raised| raised != label) {
            self.labels.push(label.to_owned());
            self.reasons.push(reason.to_owned());
        }
    }
}

/// Says where a film flashes, if it does.
fn flashing(measured: &Measured) -> Option<String> {
    let (count, start_s) = (measured.flashes.len(), measured.flashes.first()?.start_ms / 1000);
    Some(format!("it flashes more than three times a second, {count} times, first at {start_s} s"))
}

/// Says how much was looked at, so that nobody takes an approval for more than it is.
fn looked_at(measured: &Measured) -> String {
    if !measured.has_video {
        return "no rule applies to its title and file name; it has no pictures".to_owned();
    }
    let pictures = measured.pictures.len();
    let (watched_s, all_s) = (measured.watched_ms / 1000, measured.duration_ms.div_ceil(1000));
    let flashing = flashing(measured).map(|flashing| format!("; warn its viewers: {flashing}")).unwrap_or_default();
    format!(
        "no rule applies to its title, its file name and {pictures} pictures; {watched_s} of {all_s} s were watched for \
         flashing{flashing}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moderate::measure::Picture;

    fn film(spreads: &[u8], flashes: &[(u64, u64)]) -> Measured {
        let pictures = spreads.iter().zip(0..).map(|(&spread, time_ms)| Picture { time_ms, mean: 100, spread });
        let flashes = flashes.iter().map(|&(start_ms, end_ms)| TimeRange { start_ms, end_ms });
        Measured {
            duration_ms: 60_000,
            has_video: true,
            pictures: pictures.collect(),
            watched_ms: 14_000,
            flashes: flashes.collect(),
        }
    }

    /// Returns labels, confidence and reason, or the reason of an approval.
    fn judged(title: &str, measured: &Measured) -> String {
        match judge(&[title, "film.mp4"], measured, &Rules::default()) {
            Judgement::Approved { reason } => format!("approved: {reason}"),
            Judgement::Flagged { labels, confidence_permille, ranges, reason } => {
                format!("{} {confidence_permille} {} ranges: {reason}", labels.join(","), ranges.len())
            }
        }
    }

    #[test]
    fn a_plain_film_is_approved_and_the_reason_claims_no_more_than_was_seen() {
        assert_eq!(
            judged("Holidays", &film(&[40, 50, 0], &[])),
            "approved: no rule applies to its title, its file name and 3 pictures; 14 of 60 s were watched for flashing"
        );
        let sound = Measured::default();
        assert_eq!(judged("", &sound), "approved: no rule applies to its title and file name; it has no pictures");
    }

    #[test]
    fn each_rule_raises_its_flag() {
        assert_eq!(
            judged("GORE!", &film(&[40], &[])),
            "violence 500 0 ranges: \"gore\" is a word of the list violence"
        );
        assert_eq!(
            judged("", &film(&[40; 3], &[(3000, 4000), (9000, 10_500)])),
            "flashing 900 2 ranges: it flashes more than three times a second, 2 times, first at 3 s"
        );
        let salvo = judged("", &film(&[40; 3], &[(3000, 4250)]));
        assert!(
            salvo.starts_with("approved: ")
                && salvo
                    .ends_with("; warn its viewers: it flashes more than three times a second, 1 times, first at 3 s")
        );
        let mut spreads = [0; 20];
        spreads[3] = 60;
        assert_eq!(judged("", &film(&spreads, &[])), "blank 700 0 ranges: 19 of 20 pictures show nothing");
        assert!(judged("", &film(&[0, 0], &[])).starts_with("approved"), "two pictures are too few");
    }

    #[test]
    fn flags_add_up_and_the_surest_counts() {
        let judged = judged("xxx", &film(&[0; 10], &[(0, 2000)]));
        assert!(judged.starts_with("adult,flashing,blank 900 1 ranges"), "{judged}");
    }
}
