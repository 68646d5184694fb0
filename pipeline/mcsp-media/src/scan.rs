//! The scan: YARA rules over every byte of a source, for what no media file holds. In: a source. Out: one `ScanReport`.
//!
//! Rules and engine are made before confinement, since the engine translates conditions to machine code and nothing may
//! become executable afterwards; no byte of the source was read by then. `rules/starts.yar` says what a stretch is by how it
//! begins, `rules/anywhere.yar` what must not lie anywhere.

mod parts;

use mcsp_child::{FromChild, SCAN_MATCHES_MAX, ScanClass, ScanMatch, ScanReport};
use yara_x::{Compiler, MetaValue, Rule, Rules, Scanner};

use crate::analyse::Progress;
use crate::error::MediaError;
use crate::parent::Parent;
use crate::source::{Source, SourceReader};
use parts::Part;

const STARTS: &str = include_str!("../rules/starts.yar");
const ANYWHERE: &str = include_str!("../rules/anywhere.yar");

/// Bytes searched at once.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes that a window shares with the one before: several times what the longest pattern spans.
const OVERLAP_BYTES: usize = 4 << 10;
/// Places kept of one pattern in one window: rules need one.
const PLACES_MAX: usize = 64;

/// Compiled rules, ready to read hostile bytes.
pub(crate) struct Scan {
    starts: Scanner<'static>,
    anywhere: Scanner<'static>,
}

impl Scan {
    /// Compiles the rules and runs the engine once, so that all it makes is made; returns the engine's name too.
    pub(crate) fn prepare() -> Result<(String, Self), MediaError> {
        let mut scan = Self { starts: scanner(STARTS)?, anywhere: scanner(ANYWHERE)? };
        let mut found = Vec::new();
        search(&mut scan.starts, b"warm", 0, &mut found)?;
        search(&mut scan.anywhere, &[0; 1024], 0, &mut found)?;
        assert!(found.is_empty(), "rules match plain zeros");
        Ok(("yara-x".to_owned(), scan))
    }

    /// Looks at the whole source and tells the parent what it found.
    pub(crate) fn run(mut self, source: &Source, parent: &Parent) -> Result<(), MediaError> {
        let len_bytes = source.len_bytes();
        let mut found = Vec::new();
        self.look_at_starts(&mut source.reader(), &mut found)?;
        self.look_everywhere(&mut source.reader(), parent, &mut found)?;
        found.sort_by_key(|found: &ScanMatch| found.offset_bytes);
        parent.send(&FromChild::Scan(ScanReport { scanned_bytes: len_bytes, matches: found }))
    }

    fn look_at_starts(&mut self, reader: &mut SourceReader, found: &mut Vec<ScanMatch>) -> Result<(), MediaError> {
        let source_bytes = i64::try_from(reader.len_bytes()).unwrap_or(i64::MAX);
        self.starts.set_global("source_bytes", source_bytes).map_err(engine_failed)?;
        let mut bytes = Vec::new();
        for Part { place, start_bytes, len_bytes } in parts::parts(reader)? {
            bytes.resize(len_bytes, 0);
            let count = reader.read_at(start_bytes, &mut bytes)?;
            self.starts.set_global("place", place.word()).map_err(engine_failed)?;
            search(&mut self.starts, bytes.get(..count).unwrap_or_default(), start_bytes, found)?;
        }
        Ok(())
    }

    fn look_everywhere(
        &mut self,
        reader: &mut SourceReader,
        parent: &Parent,
        found: &mut Vec<ScanMatch>,
    ) -> Result<(), MediaError> {
        let mut progress = Progress::new(parent);
        let mut window = Vec::with_capacity(OVERLAP_BYTES + WINDOW_BYTES);
        let mut end = 0;
        while end < reader.len_bytes() {
            window.drain(..window.len().saturating_sub(OVERLAP_BYTES));
            let kept_bytes = window.len();
            window.resize(kept_bytes + WINDOW_BYTES, 0);
            let count = reader.read_at(end, window.get_mut(kept_bytes..).unwrap_or_default())?;
            window.truncate(kept_bytes + count);
            search(&mut self.anywhere, &window, end - kept_bytes as u64, found)?;
            end += count as u64;
            progress.tell(end, reader.len_bytes())?;
        }
        Ok(())
    }
}

/// Makes the engine of one file of rules. The rules stay as long as the process, which has one job.
fn scanner(source: &str) -> Result<Scanner<'static>, MediaError> {
    let rules: &'static Rules = Box::leak(Box::new(compile(source)?));
    let mut scanner = Scanner::new(rules);
    scanner.max_matches_per_pattern(PLACES_MAX);
    Ok(scanner)
}

fn compile(source: &str) -> Result<Rules, MediaError> {
    let mut compiler = Compiler::new();
    compiler.define_global("place", "head").map_err(engine_failed)?;
    compiler.define_global("source_bytes", 0_i64).map_err(engine_failed)?;
    compiler.add_source(source).map_err(engine_failed)?;
    Ok(compiler.build())
}

/// Searches one stretch that starts at `start_bytes` of the source; a rule is named once.
fn search(
    scanner: &mut Scanner<'static>,
    bytes: &[u8],
    start_bytes: u64,
    found: &mut Vec<ScanMatch>,
) -> Result<(), MediaError> {
    let results = scanner.scan(bytes).map_err(engine_failed)?;
    for rule in results.matching_rules() {
        let is_known = found.iter().any(|found| found.rule == rule.identifier());
        if !is_known && found.len() < SCAN_MATCHES_MAX {
            found.push(matched(&rule, start_bytes));
        }
    }
    Ok(())
}

fn matched(rule: &Rule<'_, '_>, start_bytes: u64) -> ScanMatch {
    let places = rule.patterns().filter_map(|pattern| pattern.matches().next().map(|place| place.range().start));
    let text = |(name, value)| match (name, value) {
        ("description", MetaValue::String(text)) => Some(text.to_owned()),
        _ => None,
    };
    let is_malware = rule.tags().any(|tag| tag.identifier() == "malware");
    ScanMatch {
        rule: rule.identifier().to_owned(),
        description: rule.metadata().find_map(text).unwrap_or_else(|| rule.identifier().to_owned()),
        offset_bytes: start_bytes + places.min().unwrap_or(0) as u64,
        class: if is_malware { ScanClass::Malware } else { ScanClass::Foreign },
    }
}

fn engine_failed(error: impl std::fmt::Display) -> MediaError {
    MediaError::Internal(format!("scan engine failed: {error}"))
}
