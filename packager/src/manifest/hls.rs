//! HLS playlists, RFC 8216bis (draft-pantos-hls-rfc8216bis), for VOD, and for what there is of it while it is made (EVENT): one
//! multivariant playlist at the root, one media playlist in each rendition's folder. Keys are named for ClearKey (`org.w3.clearkey`), as hls.js reads them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcsp_domain::{Colour, KeyId, ObjectKey, Scheme};

use super::{ManifestError, Presentation, RenditionInfo, bandwidth, check, file_name, language};
use crate::{AvcConfig, MediaConfig};

/// `EXT-X-MAP` without `EXT-X-I-FRAMES-ONLY` needs 6, fragmented MP4 with all its tags is written as 7 by convention.
const VERSION: u32 = 7;
/// The group of all audio renditions.
const AUDIO_GROUP: &str = "audio";

/// Returns the multivariant playlist: a variant for each video rendition, highest first, with all audio renditions as one
/// group; without video, a variant for each audio rendition.
///
/// # Errors
/// When the presentation is empty or a value in it cannot be.
pub fn multivariant(p: &Presentation) -> Result<String, ManifestError> {
    check(p)?;
    let (video, audio): (Vec<_>, Vec<_>) = p.renditions.iter().partition(|r| r.media.is_video());
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let (mut variants, group) = if video.is_empty() { (audio, Vec::new()) } else { (video, audio) };
    write_audio_group(&mut out, &group);
    let target_s = target_duration_s(p);
    variants.sort_by_key(|r| (std::cmp::Reverse(bandwidth::peak_bps(r, target_s)), r.name.clone()));
    for variant in variants {
        write_variant(&mut out, variant, &group, target_s);
    }
    Ok(out)
}

/// Returns the media playlist of one rendition, which lies in the rendition's folder.
///
/// # Errors
/// When there is no such rendition or a value in the presentation cannot be.
pub fn media(p: &Presentation, rendition: usize) -> Result<String, ManifestError> {
    let mut out = playlist(p, rendition, "VOD")?;
    out.push_str("#EXT-X-ENDLIST\n");
    Ok(out)
}

/// Returns the media playlist of one rendition of which only the beginning is there: it says EVENT and has no end, so that
/// players come back for more (§4.4.3.5).
///
/// # Errors
/// As `media`.
pub fn media_so_far(p: &Presentation, rendition: usize) -> Result<String, ManifestError> {
    playlist(p, rendition, "EVENT")
}

fn playlist(p: &Presentation, rendition: usize, kind: &str) -> Result<String, ManifestError> {
    check(p)?;
    let missing = ManifestError::NoSuchRendition { index: rendition, count: p.renditions.len() };
    let info = p.renditions.get(rendition).ok_or(missing)?;
    let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n");
    push(&mut out, format_args!("#EXT-X-TARGETDURATION:{}\n", target_duration_s(p)));
    push(&mut out, format_args!("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-INDEPENDENT-SEGMENTS\n"));
    push(&mut out, format_args!("#EXT-X-MAP:URI=\"{}\"\n", file_name(&ObjectKey::init_segment(&info.name))));
    if let (Some(scheme), Some(kid)) = (p.scheme, info.kid) {
        write_key(&mut out, scheme, kid);
    }
    for (number, duration_us) in (1..).zip(durations_us(info)) {
        let (seconds, micros) = (duration_us / 1_000_000, duration_us % 1_000_000);
        let file = ObjectKey::media_segment(&info.name, number);
        push(&mut out, format_args!("#EXTINF:{seconds}.{micros:06},\n{}\n", file_name(&file)));
    }
    Ok(out)
}

fn write_audio_group(out: &mut String, group: &[&RenditionInfo]) {
    for (index, rendition) in group.iter().enumerate() {
        let MediaConfig::Aac(aac) = &rendition.media else { continue };
        let tag = language::tag(&rendition.language);
        // Players choose among AUTOSELECT renditions by language, so each language offers one of them (§4.4.6.1.1).
        let first_of_language = !group.iter().take(index).any(|other| language::tag(&other.language) == tag);
        push(out, format_args!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"{}\"", rendition.name));
        if let Some(tag) = tag {
            push(out, format_args!(",LANGUAGE=\"{tag}\""));
        }
        push(out, format_args!(",DEFAULT={},AUTOSELECT={}", yes_no(index == 0), yes_no(first_of_language)));
        let uri = ObjectKey::media_playlist(&rendition.name);
        push(out, format_args!(",CHANNELS=\"{}\",URI=\"{uri}\"\n", aac.channels));
    }
}

fn write_variant(out: &mut String, variant: &RenditionInfo, group: &[&RenditionInfo], target_s: u64) {
    let with_audio = |rate: &dyn Fn(&RenditionInfo) -> u64| {
        let audio = group.iter().map(|audio| rate(audio)).max().unwrap_or(0);
        rate(variant).saturating_add(audio)
    };
    let peak_bps = with_audio(&|rendition| bandwidth::peak_bps(rendition, target_s));
    let average_bps = with_audio(&bandwidth::average_bps);
    let mut codecs = vec![variant.media.codec_string()];
    for audio in group {
        let codec = audio.media.codec_string();
        if !codecs.contains(&codec) {
            codecs.push(codec);
        }
    }
    push(out, format_args!("#EXT-X-STREAM-INF:BANDWIDTH={peak_bps},AVERAGE-BANDWIDTH={average_bps}"));
    push(out, format_args!(",CODECS=\"{}\"", codecs.join(",")));
    if let MediaConfig::Avc(avc) = &variant.media {
        write_picture(out, avc, variant.frame_rate);
    }
    if !group.is_empty() {
        push(out, format_args!(",AUDIO=\"{AUDIO_GROUP}\""));
    }
    push(out, format_args!(",CLOSED-CAPTIONS=NONE\n{}\n", ObjectKey::media_playlist(&variant.name)));
}

fn write_picture(out: &mut String, avc: &AvcConfig, frame_rate: Option<(u32, u32)>) {
    push(out, format_args!(",RESOLUTION={}x{}", avc.width_px, avc.height_px));
    if let Some((frames, seconds)) = frame_rate {
        let thousandths = (u64::from(frames) * 1000 + u64::from(seconds) / 2) / u64::from(seconds);
        push(out, format_args!(",FRAME-RATE={}.{:03}", thousandths / 1000, thousandths % 1000));
    }
    let range = match avc.colour.transfer {
        Colour::TRANSFER_PQ => "PQ",
        Colour::TRANSFER_HLG => "HLG",
        _ => "SDR",
    };
    push(out, format_args!(",VIDEO-RANGE={range}"));
}

/// Writes the key tag for ClearKey. hls.js takes the key id from the URI's sixteen bytes; the key itself comes from the
/// licence endpoint. `identity` would be taken for a key file by every player, and is fatal for fragmented MP4 in hls.js.
fn write_key(out: &mut String, scheme: Scheme, kid: KeyId) {
    let method = match scheme {
        Scheme::Cbcs => "SAMPLE-AES",
        Scheme::Cenc => "SAMPLE-AES-CTR",
    };
    let uri = format!("data:text/plain;base64,{}", STANDARD.encode(kid.as_bytes()));
    push(out, format_args!("#EXT-X-KEY:METHOD={method},URI=\"{uri}\",KEYID=0x{kid}"));
    out.push_str(",KEYFORMAT=\"org.w3.clearkey\",KEYFORMATVERSIONS=\"1\"\n");
}

/// Returns `EXT-X-TARGETDURATION`: no `EXTINF` of any playlist, rounded to the nearest second, is longer (§4.4.3.1), and
/// all playlists of a presentation have the same (§6.2.4).
fn target_duration_s(presentation: &Presentation) -> u64 {
    let longest_us = presentation.renditions.iter().flat_map(durations_us).max().unwrap_or(0);
    ((longest_us + 500_000) / 1_000_000).max(1)
}

/// Returns each segment's duration in microseconds, cut from rounded running sums, so that rounding does not add up.
fn durations_us(rendition: &RenditionInfo) -> impl Iterator<Item = u64> {
    let timescale = u128::from(rendition.timescale);
    let mut end_ticks = 0u128;
    let mut end_us = 0u128;
    rendition.segments.iter().map(move |segment| {
        let start_us = end_us;
        end_ticks += u128::from(segment.duration_ticks);
        end_us = (end_ticks * 1_000_000 + timescale / 2) / timescale;
        u64::try_from(end_us - start_us).unwrap_or(u64::MAX)
    })
}

fn yes_no(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}
