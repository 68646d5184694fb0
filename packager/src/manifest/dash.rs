//! The DASH media presentation description, ISO/IEC 23009-1, static: one period, `SegmentTemplate` with a timeline, elements
//! and attributes in the order of the schema. Protection is signalled by `cenc:default_KID` and the common `pssh`.

use std::collections::BTreeSet;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcsp_domain::{KeyId, Scheme};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{ManifestError, Presentation, RenditionInfo, SegmentInfo, bandwidth, check, language};
use crate::MediaConfig;
use crate::cenc::pssh;

/// Live profile (templates) of ISO/IEC 23009-1 §8.4 and the CMAF profile of §8.12.
const PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";
/// The scheme that names the protection of the media itself, §5.8.5.2.
const MP4_PROTECTION: &str = "urn:mpeg:dash:mp4protection:2011";
/// W3C's common system id, whose `pssh` lists key ids for any key system.
const COMMON_SYSTEM: &str = "urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b";
const CHANNEL_CONFIGURATION: &str = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
const ROLE: &str = "urn:mpeg:dash:role:2011";

type Xml = Writer<Vec<u8>>;
type Attributes = Vec<(&'static str, String)>;

/// Renditions between which a player may switch.
struct AdaptationSet<'a> {
    id: usize,
    is_main: bool,
    renditions: Vec<&'a RenditionInfo>,
}

/// When an MPD of which only the beginning is there was written, and when a newer one may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growing {
    /// The moment of writing, microseconds since 1970.
    pub published_us: i64,
    /// Milliseconds that a player waits before it looks again.
    pub update_ms: u64,
}

/// Returns the MPD.
///
/// # Errors
/// When the presentation is empty or a value in it cannot be.
pub fn mpd(p: &Presentation) -> Result<String, ManifestError> {
    text(p, None)
}

/// Returns the MPD of a presentation of which only the beginning is there: `dynamic`, so that players come back for more
/// (ISO/IEC 23009-1 §5.3.1.2). All segments that it lists are available, however fast they were made.
///
/// # Errors
/// As `mpd`.
pub fn mpd_so_far(p: &Presentation, growing: Growing) -> Result<String, ManifestError> {
    text(p, Some(growing))
}

fn text(p: &Presentation, growing: Option<Growing>) -> Result<String, ManifestError> {
    check(p)?;
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    let failed = |error: io::Error| ManifestError::Xml { cause: error.to_string() };
    write_mpd(&mut xml, p, growing).map_err(failed)?;
    let mut text =
        String::from_utf8(xml.into_inner()).map_err(|error| ManifestError::Xml { cause: error.to_string() })?;
    text.push('\n');
    Ok(text)
}

fn write_mpd(xml: &mut Xml, p: &Presentation, growing: Option<Growing>) -> io::Result<()> {
    // Any segment fits the buffer that players fill first; @bandwidth is reckoned with it.
    let buffer_ms = p.renditions.iter().map(longest_segment_ms).max().unwrap_or(0);
    let duration_ms = p.renditions.iter().map(end_ms).max().unwrap_or(0);
    let mut attributes = vec![
        ("xmlns", "urn:mpeg:dash:schema:mpd:2011".to_owned()),
        ("xmlns:cenc", "urn:mpeg:cenc:2013".to_owned()),
        ("profiles", PROFILES.to_owned()),
    ];
    match growing {
        None => {
            attributes.extend([("type", "static".to_owned()), ("mediaPresentationDuration", xml_duration(duration_ms))])
        }
        Some(Growing { published_us, update_ms }) => attributes.extend([
            ("type", "dynamic".to_owned()),
            // A segment is available from this moment plus its own time on: long ago, for all that are listed.
            ("availabilityStartTime", xml_time(0)),
            ("publishTime", xml_time(published_us)),
            ("minimumUpdatePeriod", xml_duration(update_ms)),
        ]),
    }
    attributes.extend([("maxSegmentDuration", xml_duration(buffer_ms)), ("minBufferTime", xml_duration(buffer_ms))]);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    parent(xml, "MPD", attributes, |xml| {
        let attributes = vec![("id", "0".to_owned()), ("start", "PT0S".to_owned())];
        parent(xml, "Period", attributes, |xml| {
            for set in adaptation_sets(p) {
                write_set(xml, p.scheme, &set, buffer_ms)?;
            }
            Ok(())
        })
    })
}

/// Returns video as one set, then audio by language and channels, each set with its largest rendition first.
fn adaptation_sets(p: &Presentation) -> Vec<AdaptationSet<'_>> {
    let kind = |r: &RenditionInfo| match &r.media {
        MediaConfig::Avc(_) => None,
        MediaConfig::Aac(aac) => Some((language::tag(&r.language).map(str::to_owned), aac.channels)),
    };
    let mut sets: Vec<AdaptationSet<'_>> = Vec::new();
    let (video, audio): (Vec<_>, Vec<_>) = p.renditions.iter().partition(|r| r.media.is_video());
    for rendition in video.into_iter().chain(audio) {
        let same_kind =
            |set: &&mut AdaptationSet<'_>| set.renditions.iter().any(|other| kind(other) == kind(rendition));
        if let Some(set) = sets.iter_mut().find(same_kind) {
            set.renditions.push(rendition);
            continue;
        }
        let is_first =
            |set: &AdaptationSet<'_>| set.renditions.iter().all(|r| r.media.is_video() != rendition.media.is_video());
        let is_main = sets.iter().all(is_first);
        sets.push(AdaptationSet { id: sets.len(), is_main, renditions: vec![rendition] });
    }
    for set in &mut sets {
        set.renditions.sort_by_key(|r| (std::cmp::Reverse(bandwidth::average_bps(r)), r.name.clone()));
    }
    sets
}

fn write_set(xml: &mut Xml, scheme: Option<Scheme>, set: &AdaptationSet<'_>, buffer_ms: u64) -> io::Result<()> {
    let kids: Vec<KeyId> = set.renditions.iter().filter_map(|r| r.kid).collect::<BTreeSet<_>>().into_iter().collect();
    let shares_timeline = set.renditions.iter().all(|r| same_timeline(r, set.renditions[0]));
    let shares_kid = kids.len() <= 1;
    parent(xml, "AdaptationSet", set_attributes(set), |xml| {
        if let (Some(scheme), [kid]) = (scheme, kids.as_slice()) {
            write_protection(xml, scheme, *kid, &kids)?;
        }
        let role = if set.is_main { "main" } else { "alternate" };
        let attributes = vec![("schemeIdUri", ROLE.to_owned()), ("value", role.to_owned())];
        empty(xml, "Role", attributes)?;
        if shares_timeline {
            write_template(xml, set.renditions[0])?;
        }
        for rendition in &set.renditions {
            let attributes = representation_attributes(rendition, bandwidth::buffered_bps(rendition, buffer_ms));
            parent(xml, "Representation", attributes, |xml| {
                write_channels(xml, &rendition.media)?;
                if let (Some(scheme), Some(kid), false) = (scheme, rendition.kid, shares_kid) {
                    write_protection(xml, scheme, kid, &kids)?;
                }
                if shares_timeline { Ok(()) } else { write_template(xml, rendition) }
            })?;
        }
        Ok(())
    })
}

fn set_attributes(set: &AdaptationSet<'_>) -> Attributes {
    let video: Vec<_> = set
        .renditions
        .iter()
        .filter_map(|r| match &r.media {
            MediaConfig::Avc(avc) => Some((avc, r.frame_rate)),
            MediaConfig::Aac(_) => None,
        })
        .collect();
    let is_video = !video.is_empty();
    let kind = if is_video { "video" } else { "audio" };
    let mut attributes = vec![("id", set.id.to_string()), ("contentType", kind.to_owned())];
    let tag = set.renditions.iter().find_map(|r| language::tag(&r.language));
    if let (Some(tag), false) = (tag, is_video) {
        attributes.push(("lang", tag.to_owned()));
    }
    attributes.push(("mimeType", format!("{kind}/mp4")));
    attributes.push(("segmentAlignment", set.renditions.iter().all(|r| is_aligned(r, set.renditions[0])).to_string()));
    attributes.push(("startWithSAP", "1".to_owned()));
    if is_video {
        let width_px = video.iter().map(|(avc, _)| avc.width_px).max().unwrap_or(0);
        let height_px = video.iter().map(|(avc, _)| avc.height_px).max().unwrap_or(0);
        attributes.push(("maxWidth", width_px.to_string()));
        attributes.push(("maxHeight", height_px.to_string()));
    }
    let by_value =
        |a: &(u32, u32), b: &(u32, u32)| (u64::from(a.0) * u64::from(b.1)).cmp(&(u64::from(b.0) * u64::from(a.1)));
    if let Some(fastest) = video.iter().filter_map(|(_, rate)| *rate).max_by(by_value) {
        attributes.push(("maxFrameRate", frame_rate_text(fastest)));
    }
    attributes
}

fn representation_attributes(rendition: &RenditionInfo, bandwidth_bps: u64) -> Attributes {
    let mut attributes = vec![
        ("id", rendition.name.to_string()),
        ("bandwidth", bandwidth_bps.to_string()),
        ("codecs", rendition.media.codec_string()),
    ];
    match &rendition.media {
        MediaConfig::Avc(avc) => {
            attributes.push(("width", avc.width_px.to_string()));
            attributes.push(("height", avc.height_px.to_string()));
            attributes.extend(rendition.frame_rate.map(|rate| ("frameRate", frame_rate_text(rate))));
        }
        MediaConfig::Aac(aac) => attributes.push(("audioSamplingRate", aac.sample_rate_hz.to_string())),
    }
    attributes
}

fn write_channels(xml: &mut Xml, media: &MediaConfig) -> io::Result<()> {
    let MediaConfig::Aac(aac) = media else { return Ok(()) };
    let attributes = vec![("schemeIdUri", CHANNEL_CONFIGURATION.to_owned()), ("value", aac.channels.to_string())];
    empty(xml, "AudioChannelConfiguration", attributes)
}

/// Writes what protects one key id. The `pssh` lists the key ids of the whole set, this one first: shaka-player takes the
/// initialisation data of a set's first representation only.
fn write_protection(xml: &mut Xml, scheme: Scheme, kid: KeyId, set_kids: &[KeyId]) -> io::Result<()> {
    let attributes = vec![
        ("schemeIdUri", MP4_PROTECTION.to_owned()),
        ("value", scheme.to_string()),
        ("cenc:default_KID", kid.to_uuid_text()),
    ];
    empty(xml, "ContentProtection", attributes)?;
    let mut kids = vec![kid];
    kids.extend(set_kids.iter().filter(|other| **other != kid));
    parent(xml, "ContentProtection", vec![("schemeIdUri", COMMON_SYSTEM.to_owned())], |xml| {
        let text = STANDARD.encode(pssh::common(&kids));
        xml.create_element("cenc:pssh").write_text_content(BytesText::new(&text))?;
        Ok(())
    })
}

fn write_template(xml: &mut Xml, rendition: &RenditionInfo) -> io::Result<()> {
    let attributes = vec![
        ("timescale", rendition.timescale.to_string()),
        ("initialization", "$RepresentationID$/init.mp4".to_owned()),
        ("media", "$RepresentationID$/$Number%05d$.m4s".to_owned()),
        ("startNumber", "1".to_owned()),
    ];
    parent(xml, "SegmentTemplate", attributes, |xml| {
        parent(xml, "SegmentTimeline", Vec::new(), |xml| write_timeline(xml, rendition))
    })
}

/// Writes `S` elements: `@t` where a run does not follow on, `@r` for more segments of one length.
fn write_timeline(xml: &mut Xml, rendition: &RenditionInfo) -> io::Result<()> {
    let mut before: Option<&SegmentInfo> = None;
    let mut rest = rendition.segments.as_slice();
    while let Some(first) = rest.first() {
        let repeats =
            |pair: &&[SegmentInfo]| pair[0].duration_ticks == pair[1].duration_ticks && follows(&pair[0], &pair[1]);
        let repeat_count = rest.windows(2).take_while(repeats).count();
        let mut attributes = Vec::new();
        if !before.is_some_and(|before| follows(before, first)) {
            attributes.push(("t", first.start_ticks.to_string()));
        }
        attributes.push(("d", first.duration_ticks.to_string()));
        if repeat_count > 0 {
            attributes.push(("r", repeat_count.to_string()));
        }
        empty(xml, "S", attributes)?;
        before = rest.get(repeat_count);
        rest = &rest[repeat_count + 1..];
    }
    Ok(())
}

/// Returns whether `segment` starts where `before` ends.
fn follows(before: &SegmentInfo, segment: &SegmentInfo) -> bool {
    i128::from(segment.start_ticks) == end_ticks(before)
}

fn end_ticks(segment: &SegmentInfo) -> i128 {
    i128::from(segment.start_ticks) + i128::from(segment.duration_ticks)
}

/// Returns whether one `SegmentTimeline` serves both.
fn same_timeline(a: &RenditionInfo, b: &RenditionInfo) -> bool {
    let times = |r: &RenditionInfo| r.segments.iter().map(|s| (s.start_ticks, s.duration_ticks)).collect::<Vec<_>>();
    a.timescale == b.timescale && times(a) == times(b)
}

/// Returns whether segments of one number start at one time, §5.3.3.2.
fn is_aligned(a: &RenditionInfo, b: &RenditionInfo) -> bool {
    let same_start = |(a_segment, b_segment): (&SegmentInfo, &SegmentInfo)| {
        i128::from(a_segment.start_ticks) * i128::from(b.timescale)
            == i128::from(b_segment.start_ticks) * i128::from(a.timescale)
    };
    a.segments.len() == b.segments.len() && a.segments.iter().zip(&b.segments).all(same_start)
}

fn longest_segment_ms(rendition: &RenditionInfo) -> u64 {
    let longest_ticks = rendition.segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
    ms_rounded_up(longest_ticks.into(), rendition.timescale)
}

fn end_ms(rendition: &RenditionInfo) -> u64 {
    ms_rounded_up(rendition.segments.last().map_or(0, end_ticks).unsigned_abs(), rendition.timescale)
}

/// Rounds up, so that no player cuts the last frame off.
fn ms_rounded_up(ticks: u128, timescale: u32) -> u64 {
    u64::try_from((ticks * 1000).div_ceil(timescale.into())).unwrap_or(u64::MAX)
}

/// Returns `xs:duration`, in seconds.
fn xml_duration(duration_ms: u64) -> String {
    format!("PT{}.{:03}S", duration_ms / 1000, duration_ms % 1000)
}

/// Returns `xs:dateTime` in UTC, in whole seconds. Days become a date as in Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>): years begin in March, so that leap days come last.
fn xml_time(time_us: i64) -> String {
    let seconds = time_us.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns frames per second as the schema wants them: `30` or `30000/1001`.
fn frame_rate_text((frames, seconds): (u32, u32)) -> String {
    if frames % seconds == 0 { (frames / seconds).to_string() } else { format!("{frames}/{seconds}") }
}

/// Writes an element that holds others.
fn parent(
    xml: &mut Xml,
    name: &str,
    attributes: Attributes,
    children: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let pairs = attributes.iter().map(|(key, value)| (*key, value.as_str()));
    xml.create_element(name).with_attributes(pairs).write_inner_content(children)?;
    Ok(())
}

/// Writes an element that holds nothing.
fn empty(xml: &mut Xml, name: &str, attributes: Attributes) -> io::Result<()> {
    let pairs = attributes.iter().map(|(key, value)| (*key, value.as_str()));
    xml.create_element(name).with_attributes(pairs).write_empty()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_become_dates() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (1_735_689_599_000_000, "2024-12-31T23:59:59Z"),
            (1_760_000_000_000_000, "2025-10-09T08:53:20Z"),
            (-1_000_000, "1969-12-31T23:59:59Z"),
        ];
        for (time_us, text) in cases {
            assert_eq!(xml_time(time_us), text);
        }
    }
}
