//! What the streams of an open source are: which two are transcoded, and what the headers say of them.

use std::ffi::{CStr, c_char, c_int};
use std::{ptr, slice};

use ffmpeg_next::ffi;
use mcsp_child::JobLimits;
use mcsp_domain::{AudioTrack, Colour, Orientation, Probe, VideoTrack, limits};

use super::filter::PixelFormat;
use super::tags::{language_code, orientation_of};
use super::{Demuxer, raw_enum, sps};
use crate::error::MediaError;

/// Frames per second where a source tells nothing.
const FRAME_RATE_FALLBACK: (u32, u32) = (25, 1);
/// Frames per second that no camera passes: larger values are a timescale posing as a rate.
const FRAME_RATE_MAX: u32 = 1000;
/// Matrix coefficients of BT.709 and BT.601 (ISO/IEC 23091-2 §8.3), for pictures that come as RGB.
const MATRIX_BT709: u8 = 1;
const MATRIX_BT601: u8 = 6;
/// The code point for "unspecified" in all three colour tags.
const UNSPECIFIED: u8 = 2;

/// Streams of a source and the clocks they tick by.
pub(crate) struct SourceTracks {
    /// What the parent is told.
    pub(crate) probe: Probe,
    /// The video stream's clock.
    pub(crate) video_clock: Option<StreamClock>,
    /// The audio stream's clock.
    pub(crate) audio_clock: Option<StreamClock>,
    /// The order of the two fields of interlaced pictures.
    pub(crate) field_order: Option<&'static str>,
}

/// How a stream's own ticks become ticks of a whole timescale: `num / den` seconds become `num` ticks of `1 / den`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamClock {
    factor: i64,
    /// Ticks per second.
    pub(crate) timescale: u32,
    /// How far sound frames' times may stray from the count of their samples without meaning it.
    pub(crate) stray_ms: i64,
}

/// Strayed times below this are rounding or jitter: below what a viewer notices between picture and sound (ITU-R BT.1359
/// gives 45 ms; the platform promises 20 ms).
const STRAY_MS: i64 = 15;
/// Vorbis packets overlap by half of the smaller block, so that times of long and short blocks (2048 and 256 samples at
/// 44.1 kHz) differ by 20 ms from the count, back and forth, without any gap.
const STRAY_VORBIS_MS: i64 = 30;

impl StreamClock {
    fn of(time_base: ffi::AVRational, codec: &str) -> Result<Self, MediaError> {
        let timescale = u32::try_from(time_base.den).unwrap_or(0);
        if timescale == 0 || timescale > limits::TIMESCALE_MAX || time_base.num < 1 {
            let (num, den, max) = (time_base.num, time_base.den, limits::TIMESCALE_MAX);
            return Err(MediaError::Limit(format!("time base {num}/{den} passes {max} ticks a second")));
        }
        let stray_ms = if codec == "vorbis" { STRAY_VORBIS_MS } else { STRAY_MS };
        Ok(Self { factor: time_base.num.into(), timescale, stray_ms })
    }

    /// Returns source ticks for a stream's own.
    pub(crate) fn ticks(self, stream_ticks: i64) -> i64 {
        stream_ticks.saturating_mul(self.factor)
    }

    /// Returns the stream's own ticks for source ticks.
    pub(crate) fn stream_ticks(self, ticks: i64) -> i64 {
        ticks.div_euclid(self.factor)
    }
}

/// One stream, with its fields read out of C.
struct Stream<'a> {
    index: u32,
    raw: *mut ffi::AVStream,
    _demuxer: &'a Demuxer,
}

/// Checks the claims of the headers before any decoder is opened.
pub(super) fn check_limits(demuxer: &Demuxer, limits: &JobLimits) -> Result<(), MediaError> {
    let count = demuxer.streams().len();
    if count > limits.streams as usize {
        return Err(MediaError::Limit(format!("source has {count} streams, {} allowed", limits.streams)));
    }
    let seconds = duration_us(demuxer) / 1_000_000;
    if seconds > limits.duration_seconds {
        return Err(MediaError::Limit(format!("source lasts {seconds} s, {} s allowed", limits.duration_seconds)));
    }
    for stream in streams(demuxer) {
        let claims = [Some(stream.size_px()), sps::coded_size_px(&stream.codec_name(), stream.extradata())];
        for (width, height) in claims.into_iter().flatten() {
            check_size(stream.index, width, height, limits.pixels)?;
        }
        let (channels, rate_hz) = (stream.channel_count(), stream.sample_rate_hz());
        if channels > limits::SOURCE_CHANNELS_MAX || rate_hz > limits::SOURCE_SAMPLE_RATE_HZ_MAX {
            let (index, channels_max, rate_max) =
                (stream.index, limits::SOURCE_CHANNELS_MAX, limits::SOURCE_SAMPLE_RATE_HZ_MAX);
            return Err(MediaError::Limit(format!(
                "stream {index} claims {channels} channels at {rate_hz} Hz, {channels_max} at {rate_max} Hz allowed"
            )));
        }
    }
    Ok(())
}

/// Checks the size of a picture.
pub(super) fn check_size(index: u32, width: u32, height: u32, pixels_max: u64) -> Result<(), MediaError> {
    let (pixels, edge_max) = (u64::from(width) * u64::from(height), limits::SOURCE_EDGE_PX_MAX);
    if pixels > pixels_max {
        let message = format!("stream {index} claims pictures of {width}x{height} pixels, {pixels_max} pixels allowed");
        return Err(MediaError::Limit(message));
    }
    if width.max(height) > edge_max {
        let message = format!("stream {index} claims pictures of {width}x{height} pixels, {edge_max} a side allowed");
        return Err(MediaError::Limit(message));
    }
    Ok(())
}

impl SourceTracks {
    /// Chooses the streams and describes them.
    pub(crate) fn of(demuxer: &Demuxer) -> Result<Self, MediaError> {
        let video = choose_video(demuxer);
        let audio = choose_audio(demuxer);
        if video.is_none() && audio.is_none() {
            let count = demuxer.streams().len();
            return Err(MediaError::Unsupported(format!("source has neither video nor audio among {count} streams")));
        }
        let chosen = [video.as_ref().map(|stream| stream.index), audio.as_ref().map(|stream| stream.index)];
        let left_out = streams(demuxer).filter(|stream| !chosen.contains(&Some(stream.index)));
        // SAFETY: an open context has its format, whose name is a zero-terminated string.
        let container = unsafe { text((*(*demuxer.context()).iformat).name) };
        let probe = Probe {
            container,
            len_bytes: demuxer.len_bytes(),
            duration_us: duration_us(demuxer),
            video: video.as_ref().map(Stream::video_track).transpose()?,
            audio: audio.as_ref().map(Stream::audio_track).transpose()?,
            left_out: left_out.map(|stream| stream.in_words()).collect(),
        };
        Ok(Self {
            probe,
            video_clock: video.as_ref().map(Stream::clock).transpose()?,
            audio_clock: audio.as_ref().map(Stream::clock).transpose()?,
            field_order: video.as_ref().and_then(Stream::field_order),
        })
    }
}

fn streams(demuxer: &Demuxer) -> impl Iterator<Item = Stream<'_>> {
    (0..).zip(demuxer.streams()).map(move |(index, &raw)| Stream { index, raw, _demuxer: demuxer })
}

/// Chooses the default track, or the largest; attached pictures are covers, not video.
fn choose_video(demuxer: &Demuxer) -> Option<Stream<'_>> {
    let is_video = |stream: &Stream| stream.is(ffi::AVMediaType::AVMEDIA_TYPE_VIDEO) && !stream.is_cover();
    // Many files call every track default; players show the first of them.
    if let Some(first) = streams(demuxer).find(|stream| is_video(stream) && stream.is_default()) {
        return Some(first);
    }
    let pixels = |stream: &Stream| {
        let (width, height) = stream.size_px();
        (u64::from(width) * u64::from(height), std::cmp::Reverse(stream.index))
    };
    streams(demuxer).filter(is_video).max_by_key(pixels)
}

fn choose_audio(demuxer: &Demuxer) -> Option<Stream<'_>> {
    let is_audio = |stream: &Stream| stream.is(ffi::AVMediaType::AVMEDIA_TYPE_AUDIO);
    streams(demuxer).filter(is_audio).max_by_key(|stream| (stream.is_default(), std::cmp::Reverse(stream.index)))
}

fn duration_us(demuxer: &Demuxer) -> u64 {
    // SAFETY: the context is open; `AV_TIME_BASE` is a million, so its duration is in microseconds.
    u64::try_from(unsafe { (*demuxer.context()).duration }).unwrap_or(0)
}

impl Stream<'_> {
    fn stream(&self) -> *const ffi::AVStream {
        self.raw
    }

    fn parameters(&self) -> *const ffi::AVCodecParameters {
        // SAFETY: a stream of an open context has parameters.
        unsafe { (*self.stream()).codecpar }
    }

    fn is(&self, kind: ffi::AVMediaType) -> bool {
        // SAFETY: the parameters are valid; the field is read as a number.
        unsafe { raw_enum!(self.parameters(), codec_type) == kind as c_int }
    }

    fn disposition(&self) -> c_int {
        // SAFETY: the stream is valid, the field is a number.
        unsafe { (*self.stream()).disposition }
    }

    fn is_cover(&self) -> bool {
        self.disposition() & ffi::AV_DISPOSITION_ATTACHED_PIC != 0
    }

    fn is_default(&self) -> bool {
        self.disposition() & ffi::AV_DISPOSITION_DEFAULT != 0
    }

    fn clock(&self) -> Result<StreamClock, MediaError> {
        // SAFETY: the stream is valid.
        StreamClock::of(unsafe { (*self.stream()).time_base }, &self.codec_name())
    }

    fn size_px(&self) -> (u32, u32) {
        // SAFETY: the parameters are valid, the fields are numbers.
        let (width, height) = unsafe { ((*self.parameters()).width, (*self.parameters()).height) };
        (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
    }

    fn channel_count(&self) -> u32 {
        // SAFETY: the parameters are valid, the field is a number.
        u32::try_from(unsafe { (*self.parameters()).ch_layout.nb_channels }).unwrap_or(0)
    }

    fn sample_rate_hz(&self) -> u32 {
        // SAFETY: the parameters are valid, the field is a number.
        u32::try_from(unsafe { (*self.parameters()).sample_rate }).unwrap_or(0)
    }

    fn extradata(&self) -> &[u8] {
        // SAFETY: the parameters are valid and keep `extradata_size` bytes behind `extradata`.
        unsafe {
            let (data, len) = ((*self.parameters()).extradata, (*self.parameters()).extradata_size);
            match usize::try_from(len) {
                Ok(len) if !data.is_null() && len > 0 => slice::from_raw_parts(data, len),
                _ => &[],
            }
        }
    }

    fn codec_name(&self) -> String {
        // SAFETY: the parameters are valid; libavcodec writes only identifiers it knows, and names every one of them.
        unsafe { text(ffi::avcodec_get_name((*self.parameters()).codec_id)) }
    }

    fn in_words(&self) -> String {
        // SAFETY: the parameters are valid; libavformat writes only media types it knows.
        let kind = unsafe { text(ffi::av_get_media_type_string((*self.parameters()).codec_type)) };
        let cover = if self.is_cover() { " (cover)" } else { "" };
        format!("stream {}: {kind} {}{cover}", self.index, self.codec_name())
    }

    fn video_track(&self) -> Result<VideoTrack, MediaError> {
        let (width, height) = self.size_px();
        if width == 0 || height == 0 {
            return Err(MediaError::Corrupt(format!(
                "stream {} ({}) tells no picture size",
                self.index,
                self.codec_name()
            )));
        }
        // SAFETY: the parameters are valid, the field is a number.
        let format = PixelFormat::of(unsafe { (*self.parameters()).format });
        if format.name.is_empty() {
            return Err(MediaError::Corrupt(format!(
                "stream {} ({}) tells no pixel format",
                self.index,
                self.codec_name()
            )));
        }
        self.refuse_dolby_vision()?;
        Ok(VideoTrack {
            stream_index: self.index,
            codec: self.codec_name(),
            timescale: self.clock()?.timescale,
            coded_width_px: width,
            coded_height_px: height,
            pixel_aspect: self.pixel_aspect(),
            orientation: self.orientation()?,
            frame_rate: self.frame_rate(),
            bit_depth: format.bit_depth,
            interlaced: self.field_order().is_some(),
            colour: self.colour(&format, height),
            pixel_format: format.name,
        })
    }

    fn audio_track(&self) -> Result<AudioTrack, MediaError> {
        let (rate_hz, channels) = (self.sample_rate_hz(), self.channel_count());
        if rate_hz == 0 || channels == 0 {
            let (index, codec) = (self.index, self.codec_name());
            return Err(MediaError::Corrupt(format!(
                "stream {index} ({codec}) has {channels} channels at {rate_hz} Hz"
            )));
        }
        Ok(AudioTrack {
            stream_index: self.index,
            codec: self.codec_name(),
            timescale: self.clock()?.timescale,
            sample_rate_hz: rate_hz,
            channels,
            language: self.language(),
        })
    }

    fn pixel_aspect(&self) -> (u32, u32) {
        // SAFETY: stream and parameters are valid.
        let (of_stream, of_codec) =
            unsafe { ((*self.stream()).sample_aspect_ratio, (*self.parameters()).sample_aspect_ratio) };
        let ratio = |ratio: ffi::AVRational| {
            Some((u32::try_from(ratio.num).ok()?, u32::try_from(ratio.den).ok()?))
                .filter(|&(num, den)| num > 0 && den > 0)
        };
        ratio(of_stream).or(ratio(of_codec)).unwrap_or((1, 1))
    }

    fn frame_rate(&self) -> (u32, u32) {
        // SAFETY: the stream is valid.
        let (average, lowest) = unsafe { ((*self.stream()).avg_frame_rate, (*self.stream()).r_frame_rate) };
        let rate = |rate: ffi::AVRational| {
            let (num, den) = (u32::try_from(rate.num).ok()?, u32::try_from(rate.den).ok()?);
            Some((num, den)).filter(|_| num > 0 && den > 0 && num / den <= FRAME_RATE_MAX)
        };
        rate(average).or(rate(lowest)).unwrap_or(FRAME_RATE_FALLBACK)
    }

    fn field_order(&self) -> Option<&'static str> {
        use ffi::AVFieldOrder::{AV_FIELD_BB, AV_FIELD_BT, AV_FIELD_TB, AV_FIELD_TT};
        // SAFETY: the parameters are valid; the field is read as a number.
        let order = unsafe { raw_enum!(self.parameters(), field_order) };
        let is = |known: ffi::AVFieldOrder| known as c_int == order;
        match order {
            _ if is(AV_FIELD_TT) || is(AV_FIELD_TB) => Some("top field first"),
            _ if is(AV_FIELD_BB) || is(AV_FIELD_BT) => Some("bottom field first"),
            _ => None,
        }
    }

    fn colour(&self, format: &PixelFormat, height_px: u32) -> Colour {
        let parameters = self.parameters();
        // SAFETY: the parameters are valid; the fields are read as numbers.
        let (primaries, transfer, matrix, range) = unsafe {
            (
                raw_enum!(parameters, color_primaries),
                raw_enum!(parameters, color_trc),
                raw_enum!(parameters, color_space),
                raw_enum!(parameters, color_range),
            )
        };
        // 0 and 3 are reserved, 22 is the last code point of H.264's tables.
        let tag = |value: c_int| {
            u8::try_from(value).ok().filter(|value| (1..=22).contains(value) && *value != 3).unwrap_or(UNSPECIFIED)
        };
        let matrix_of_rgb = if height_px >= 720 { MATRIX_BT709 } else { MATRIX_BT601 };
        Colour {
            primaries: tag(primaries),
            transfer: tag(transfer),
            matrix: if format.is_rgb { matrix_of_rgb } else { tag(matrix) },
            full_range: !format.is_rgb
                && (range == ffi::AVColorRange::AVCOL_RANGE_JPEG as c_int || format.name.starts_with("yuvj")),
        }
    }

    fn orientation(&self) -> Result<Orientation, MediaError> {
        let bytes = self.side_data(ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX);
        let mut matrix = [0i32; 9];
        for (cell, bytes) in matrix.iter_mut().zip(bytes.chunks_exact(4)) {
            *cell = bytes.first_chunk().map_or(0, |&bytes| i32::from_ne_bytes(bytes));
        }
        if bytes.is_empty() {
            return Ok(Orientation::default());
        }
        orientation_of(matrix).ok_or_else(|| {
            let [a, b, _, c, d, ..] = matrix;
            let index = self.index;
            MediaError::Unsupported(format!("stream {index} is turned by no quarter turn (matrix {a} {b} {c} {d})"))
        })
    }

    /// Profile 5 has no picture that shows right without Dolby's own colour transform.
    fn refuse_dolby_vision(&self) -> Result<(), MediaError> {
        // `AVDOVIDecoderConfigurationRecord`: major and minor version, then the profile, a byte each.
        match self.side_data(ffi::AVPacketSideDataType::AV_PKT_DATA_DOVI_CONF).get(2) {
            Some(5) => Err(MediaError::Unsupported("HDR video (Dolby Vision profile 5) is not supported yet".into())),
            _ => Ok(()),
        }
    }

    fn side_data(&self, kind: ffi::AVPacketSideDataType) -> &[u8] {
        let mut len = 0;
        // SAFETY: the stream is valid and keeps `len` bytes as long as it lives.
        unsafe {
            let data = ffi::av_stream_get_side_data(self.stream(), kind, &raw mut len);
            if data.is_null() { &[] } else { slice::from_raw_parts(data, len) }
        }
    }

    fn language(&self) -> String {
        // SAFETY: the metadata is valid, the key zero-terminated.
        let tag = unsafe { ffi::av_dict_get((*self.stream()).metadata, c"language".as_ptr(), ptr::null(), 0) };
        // SAFETY: an entry's value is a zero-terminated string.
        let tag = if tag.is_null() { String::new() } else { unsafe { text((*tag).value) } };
        language_code(&tag)
    }
}

/// Copies a string of libav; null is empty.
///
/// # Safety
/// The pointer is null or a zero-terminated string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
