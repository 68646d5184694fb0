//! The verdict on an upload: what its headers say, what the scan found and what the operator takes, weighed into one answer.

use mcsp_domain::Probe;
use mcsp_events::BlockReason;
use mcsp_sandbox::child::{ScanClass, ScanMatch, ScanReport};

use super::IngestPolicy;

/// Content of another kind that begins this early is what the file is, not what hides in it: a browser's sniffing range.
const OWN_KIND_BYTES: u64 = 1445;

/// An upload that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Its container, one of `CONTAINERS`.
    pub container: String,
    /// Its length, where its headers tell.
    pub duration_ms: Option<u64>,
}

/// An upload that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// What it broke.
    pub reason: BlockReason,
    /// Words for its uploader.
    pub detail: String,
}

/// Checks a source's size before any child looks at it.
pub(super) fn check_len(len_bytes: u64, policy: &IngestPolicy) -> Result<(), Blocked> {
    let max = policy.len_bytes_max;
    if len_bytes > max {
        return Err(limit(format!("source has {len_bytes} bytes, {max} allowed")));
    }
    Ok(())
}

/// Weighs what was found. A file that is plainly something else is refused for its format, in the words of its headers; what
/// does harm, or hides in a file that can be played, is malware.
pub(super) fn judge(
    headers: Result<Probe, Blocked>,
    report: &ScanReport,
    policy: &IngestPolicy,
) -> Result<Sound, Blocked> {
    match (headers, worst(report)) {
        (Ok(probe), None) => check_policy(&probe, policy),
        (Err(blocked), None) => Err(blocked),
        (Err(blocked), Some(found)) if is_own_kind(found) => {
            Err(Blocked { detail: format!("{}; it is {}", blocked.detail, found.description), ..blocked })
        }
        (_, Some(found)) => {
            let detail = format!("source holds {} at byte {}", found.description, found.offset_bytes);
            Err(Blocked { reason: BlockReason::Malware, detail })
        }
    }
}

/// Returns the match that is told: harm before other content, then the first in the file.
fn worst(report: &ScanReport) -> Option<&ScanMatch> {
    report.matches.iter().min_by_key(|found| (found.class == ScanClass::Foreign, found.offset_bytes))
}

fn is_own_kind(found: &ScanMatch) -> bool {
    found.class == ScanClass::Foreign && found.offset_bytes <= OWN_KIND_BYTES
}

fn check_policy(probe: &Probe, policy: &IngestPolicy) -> Result<Sound, Blocked> {
    let container = container(probe);
    if !policy.containers.iter().any(|taken| taken == container) {
        let taken = policy.containers.join(", ");
        let detail = format!("source is {container}, which is not taken here; taken are {taken}");
        return Err(Blocked { reason: BlockReason::Format, detail });
    }
    let (seconds, max) = (probe.duration_us.div_ceil(1_000_000), policy.duration_s_max);
    if seconds > max {
        return Err(limit(format!("source lasts {seconds} s, {max} s allowed")));
    }
    let duration_ms = (probe.duration_us > 0).then_some(probe.duration_us / 1000);
    Ok(Sound { container: container.to_owned(), duration_ms })
}

/// Returns the container's name: the reader of ISO base media gives a list that begins with `mov`.
fn container(probe: &Probe) -> &str {
    match probe.container.split(',').next() {
        Some("mov") => "mp4",
        Some(name) => name,
        None => "",
    }
}

fn limit(detail: String) -> Blocked {
    Blocked { reason: BlockReason::Limit, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(container: &str, duration_us: u64) -> Probe {
        let container = container.to_owned();
        Probe { container, len_bytes: 1, duration_us, video: None, audio: None, left_out: Vec::new() }
    }

    fn refused() -> Result<Probe, Blocked> {
        Err(Blocked { reason: BlockReason::Format, detail: "source begins with 50".to_owned() })
    }

    fn report(matches: &[(ScanClass, &str, u64)]) -> ScanReport {
        let found = |&(class, description, offset_bytes): &(ScanClass, &str, u64)| {
            let (rule, description) = ("rule".to_owned(), description.to_owned());
            ScanMatch { rule, description, offset_bytes, class }
        };
        ScanReport { scanned_bytes: 1, matches: matches.iter().map(found).collect() }
    }

    fn say(headers: Result<Probe, Blocked>, matches: &[(ScanClass, &str, u64)]) -> String {
        match judge(headers, &report(matches), &IngestPolicy::default()) {
            Ok(sound) => format!("{} {:?}", sound.container, sound.duration_ms),
            Err(blocked) => format!("{:?}: {}", blocked.reason, blocked.detail),
        }
    }

    #[test]
    fn policy_is_asked_of_sound_media_alone() {
        let mp4 = "mov,mp4,m4a,3gp,3g2,mj2";
        assert_eq!(say(Ok(probe(mp4, 61_250_400)), &[]), "mp4 Some(61250)");
        assert_eq!(say(Ok(probe("matroska,webm", 0)), &[]), "matroska None");
        assert_eq!(say(Ok(probe(mp4, 72_000_000_000)), &[]), "Limit: source lasts 72000 s, 43200 s allowed");
        assert_eq!(say(refused(), &[]), "Format: source begins with 50");
        let policy = IngestPolicy { containers: vec!["mp4".to_owned()], len_bytes_max: 10, ..IngestPolicy::default() };
        let blocked = judge(Ok(probe("flv", 1)), &report(&[]), &policy).unwrap_err();
        assert_eq!(blocked.detail, "source is flv, which is not taken here; taken are mp4");
        assert_eq!(check_len(10, &policy), Ok(()));
        assert_eq!(check_len(11, &policy).unwrap_err().detail, "source has 11 bytes, 10 allowed");
    }

    #[test]
    fn a_file_of_another_kind_is_no_malware_and_what_hides_is() {
        use ScanClass::{Foreign, Malware};
        let zip = [(Foreign, "a ZIP archive", 0), (Foreign, "the directory of a ZIP archive", 9000)];
        assert_eq!(say(refused(), &zip), "Format: source begins with 50; it is a ZIP archive");
        assert_eq!(say(Ok(probe("mp3", 1)), &zip), "Malware: source holds a ZIP archive at byte 0");
        assert_eq!(say(refused(), &zip[1..]), "Malware: source holds the directory of a ZIP archive at byte 9000");
        let virus = [(Foreign, "a script", 0), (Malware, "a program", 70)];
        assert_eq!(say(refused(), &virus), "Malware: source holds a program at byte 70");
    }
}
