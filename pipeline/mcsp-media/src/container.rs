//! What a source is by its first bytes. In: a reader. Out: the one demuxer that may see the source, or a refusal by name.
//!
//! Libraries guess from contents and names and can be led to playlists, scripts and other files. Here the magic numbers
//! of a dozen containers choose the demuxer, and nothing else is opened.

use crate::error::MediaError;
use crate::source::SourceReader;
use crate::{boxes, ebml};

/// Bytes looked at: three MPEG-TS packets of the longest kind fit.
const HEAD_BYTES: usize = 1024;
/// Bytes of an ID3v2 header, ID3v2.4 §3.1.
const ID3_HEADER_BYTES: usize = 10;
/// Characters of a text that a refusal quotes.
const QUOTE_CHARS_MAX: usize = 24;

/// A container that is processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// ISO base media file format: MP4, QuickTime, 3GP.
    Bmff,
    /// Matroska and WebM.
    Matroska,
    /// MPEG-2 transport stream.
    MpegTs,
    /// MPEG program stream.
    MpegPs,
    /// AVI.
    Avi,
    /// Flash video.
    Flv,
    /// Ogg.
    Ogg,
    /// WAVE.
    Wav,
    /// MPEG audio, with or without ID3.
    Mp3,
    /// AAC in ADTS frames.
    Adts,
    /// FLAC.
    Flac,
}

impl Container {
    /// Every container.
    pub(crate) const ALL: [Self; 11] = [
        Self::Bmff,
        Self::Matroska,
        Self::MpegTs,
        Self::MpegPs,
        Self::Avi,
        Self::Flv,
        Self::Ogg,
        Self::Wav,
        Self::Mp3,
        Self::Adts,
        Self::Flac,
    ];

    /// Returns the short name of libavformat's demuxer.
    pub(crate) fn demuxer(self) -> &'static str {
        match self {
            Self::Bmff => "mov",
            Self::Matroska => "matroska",
            Self::MpegTs => "mpegts",
            Self::MpegPs => "mpeg",
            Self::Avi => "avi",
            Self::Flv => "flv",
            Self::Ogg => "ogg",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Adts => "aac",
            Self::Flac => "flac",
        }
    }

    /// Returns the container of a source.
    pub(crate) fn of(reader: &mut SourceReader) -> Result<Self, MediaError> {
        let mut head = [0; HEAD_BYTES];
        let count = reader.read_at(0, &mut head)?;
        let head = &head[..count];
        if head.is_empty() {
            return Err(MediaError::Corrupt("source is empty (0 bytes)".into()));
        }
        if let Some(container) = of_head(head) {
            return Ok(container);
        }
        if head.starts_with(b"ID3") {
            return after_id3(reader, head);
        }
        Err(refusal(head))
    }

    /// Checks what the container says about its own structure against the length of the source.
    pub(crate) fn check_structure(self, reader: &mut SourceReader) -> Result<(), MediaError> {
        match self {
            Self::Bmff => boxes::check(reader),
            Self::Matroska => ebml::check(reader),
            _ => Ok(()),
        }
    }
}

fn of_head(head: &[u8]) -> Option<Container> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let box_type = head.get(4..8).unwrap_or_default();
    let synced = |start: usize, step: usize| (0..3).all(|packet| head.get(start + packet * step) == Some(&0x47));
    let container = match head {
        _ if boxes::may_start_a_file(box_type) => Container::Bmff,
        _ if at(0, b"\x1a\x45\xdf\xa3") => Container::Matroska,
        _ if at(0, b"\x00\x00\x01\xba") => Container::MpegPs,
        _ if at(0, b"RIFF") && at(8, b"AVI ") => Container::Avi,
        _ if at(0, b"RIFF") && at(8, b"WAVE") => Container::Wav,
        _ if at(0, b"FLV\x01") => Container::Flv,
        _ if at(0, b"OggS") => Container::Ogg,
        _ if at(0, b"fLaC") => Container::Flac,
        // Packets of 188 bytes; with 4 bytes of arrival time before (M2TS); with 16 bytes of parity after.
        _ if synced(0, 188) || synced(4, 192) || synced(0, 204) => Container::MpegTs,
        [0xff, second, third, ..] => return of_frame_sync(*second, *third),
        // A recording may start inside a packet; five syncs in a row are no chance.
        _ if (1..188).any(|start| (0..5).all(|packet| head.get(start + packet * 188) == Some(&0x47))) => {
            Container::MpegTs
        }
        _ => return None,
    };
    Some(container)
}

/// Tells ADTS (ISO/IEC 13818-7 §6.2) from MPEG audio (ISO/IEC 11172-3 §2.4.2.3): the layer bits are 0 in ADTS alone.
fn of_frame_sync(second: u8, third: u8) -> Option<Container> {
    let (layer, adts_rate) = ((second >> 1) & 3, (third >> 2) & 15);
    let (mp3_bitrate, mp3_rate) = (third >> 4, (third >> 2) & 3);
    match second >> 4 {
        15 if layer == 0 && adts_rate < 13 => Some(Container::Adts),
        14 | 15 if layer != 0 && mp3_bitrate != 15 && mp3_bitrate != 0 && mp3_rate != 3 => Some(Container::Mp3),
        _ => None,
    }
}

fn after_id3(reader: &mut SourceReader, head: &[u8]) -> Result<Container, MediaError> {
    let size = head.get(6..ID3_HEADER_BYTES).unwrap_or_default();
    let tag_bytes = size.iter().fold(0, |sum, &byte| (sum << 7) | u64::from(byte & 0x7f)) + ID3_HEADER_BYTES as u64;
    let mut frame = [0; 4];
    let count = reader.read_at(tag_bytes, &mut frame)?;
    match of_head(&frame[..count]) {
        Some(Container::Flac) => Ok(Container::Flac),
        Some(Container::Adts) => Ok(Container::Adts),
        // Taggers pad with zeros, which the demuxer skips.
        Some(Container::Mp3) | None if count > 0 => Ok(Container::Mp3),
        _ => Err(MediaError::Corrupt(format!("no audio follows the ID3 tag of {tag_bytes} bytes"))),
    }
}

fn refusal(head: &[u8]) -> MediaError {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if !text.iter().all(printable) {
        let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        return MediaError::Unsupported(format!(
            "source begins with {}, which no known container does",
            bytes.join(" ")
        ));
    }
    let text = String::from_utf8_lossy(text);
    let first_line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let quote: String = first_line.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS_MAX).collect();
    let name = text_name(first_line).map(|name| format!(" ({name})")).unwrap_or_default();
    MediaError::Unsupported(format!("source begins with text, not with a media container: \"{quote}\"{name}"))
}

fn text_name(line: &str) -> Option<&'static str> {
    let known = [
        ("#EXTM3U", "an HLS playlist"),
        ("ffconcat", "an ffconcat script"),
        ("[playlist]", "a PLS playlist"),
        ("<MPD", "a DASH manifest"),
        ("<SmoothStreamingMedia", "a Smooth Streaming manifest"),
        ("<!DOCTYPE", "a web page"),
        ("<html", "a web page"),
        ("<?xml", "an XML document"),
        ("v=0", "an SDP description"),
        ("#!", "a script"),
    ];
    known.iter().find(|(start, _)| line.starts_with(start)).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_numbers_choose_the_demuxer() {
        let mut ts = vec![0; 600];
        (0..3).for_each(|packet| ts[packet * 188] = 0x47);
        let mut m2ts = vec![0; 600];
        (0..3).for_each(|packet| m2ts[4 + packet * 192] = 0x47);
        let cases: [(&[u8], Option<Container>); 12] = [
            (b"\0\0\0\x18ftypisom", Some(Container::Bmff)),
            (b"\x1a\x45\xdf\xa3\x01", Some(Container::Matroska)),
            (&ts, Some(Container::MpegTs)),
            (&m2ts, Some(Container::MpegTs)),
            (b"RIFF\0\0\0\0AVI LIST", Some(Container::Avi)),
            (b"RIFF\0\0\0\0WAVEfmt ", Some(Container::Wav)),
            (b"RIFF\0\0\0\0WEBPVP8 ", None),
            (b"\xff\xf1\x50\x80", Some(Container::Adts)),
            (b"\xff\xfb\x90\x64", Some(Container::Mp3)),
            (b"\xff\xff\xff\xff", None),
            (b"\x7fELF\x02\x01", None),
            (b"#EXTM3U\n", None),
        ];
        for (head, container) in cases {
            assert_eq!(of_head(head), container, "{head:02x?}");
        }
    }

    #[test]
    fn refusals_name_what_they_saw() {
        let cases: [(&[u8], &str); 4] = [
            (
                b"#EXTM3U\n#EXTINF:1,\n/etc/passwd",
                "source begins with text, not with a media container: \"#EXTM3U\" (an HLS playlist)",
            ),
            (b"hello there\n", "source begins with text, not with a media container: \"hello there\""),
            (
                b"\xef\xbb\xbfffconcat version 1.0\n",
                "source begins with text, not with a media container: \"ffconcat version 1.0\" (an ffconcat script)",
            ),
            (b"\x7fELF\x02\x01\x01\0\0", "source begins with 7f 45 4c 46 02 01 01 00, which no known container does"),
        ];
        for (head, message) in cases {
            assert_eq!(refusal(head).to_string(), message);
        }
    }
}
