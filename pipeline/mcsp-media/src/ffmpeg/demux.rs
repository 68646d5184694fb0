//! Demuxing by libavformat over our own reads: the demuxer is named by us, and no other resource can be opened.

use std::ffi::{CString, c_char, c_int, c_void};
use std::{ptr, slice};

use ffmpeg_next::ffi;
use mcsp_child::JobLimits;

use super::decode::DECODERS;
use super::options::Options;
use super::tracks::check_limits;
use super::{Packet, allocated, error_text, raw_enum};
use crate::container::Container;
use crate::error::MediaError;
use crate::source::{Source, SourceReader};

/// Bytes of libavformat's read buffer.
const IO_BUFFER_BYTES: c_int = 64 << 10;
/// Bytes that may be read to learn what the streams are: libavformat's own default, which each chunk may read twice.
const PROBE_BYTES_MAX: &str = "5000000";

/// An open source.
pub(crate) struct Demuxer {
    context: *mut ffi::AVFormatContext,
    io: *mut ffi::AVIOContext,
    /// Behind a raw pointer, since the callbacks use it while `context` is in use.
    state: *mut IoState,
    container: Container,
}

// SAFETY: the three pointers are owned by this value alone, and libavformat keeps no thread-bound state.
unsafe impl Send for Demuxer {}

struct IoState {
    reader: SourceReader,
    failure: Option<MediaError>,
}

impl Demuxer {
    /// Opens a source and learns what its streams are.
    pub(crate) fn open(source: &Source, container: Container, limits: &JobLimits) -> Result<Self, MediaError> {
        let mut demuxer = Self::with_io(source, container)?;
        demuxer.open_input()?;
        check_limits(&demuxer, limits)?;
        demuxer.learn_streams(limits)?;
        check_limits(&demuxer, limits)?;
        Ok(demuxer)
    }

    fn with_io(source: &Source, container: Container) -> Result<Self, MediaError> {
        let state = Box::into_raw(Box::new(IoState { reader: source.reader(), failure: None }));
        let mut demuxer = Self { context: ptr::null_mut(), io: ptr::null_mut(), state, container };
        // SAFETY: the size is positive; the result is checked.
        let buffer = allocated(unsafe { ffi::av_malloc(IO_BUFFER_BYTES as usize) }, "a read buffer")?;
        // SAFETY: the buffer is as long as said and passes to the context; `state` outlives it (see `drop`).
        let io = unsafe {
            let (buffer, opaque) = (buffer.cast(), state.cast());
            ffi::avio_alloc_context(buffer, IO_BUFFER_BYTES, 0, opaque, Some(on_read), None, Some(on_seek))
        };
        demuxer.io = allocated(io, "a read context")?;
        // SAFETY: no argument; the result is checked.
        demuxer.context = allocated(unsafe { ffi::avformat_alloc_context() }, "a demuxer")?;
        // SAFETY: the context is valid and not yet open, so its fields may be set.
        unsafe {
            (*demuxer.context).pb = demuxer.io;
            (*demuxer.context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
            (*demuxer.context).io_open = Some(on_open);
        }
        Ok(demuxer)
    }

    fn open_input(&mut self) -> Result<(), MediaError> {
        let demuxers: Vec<&str> = Container::ALL.iter().map(|container| container.demuxer()).collect();
        let name = CString::new(self.container.demuxer()).unwrap_or_default();
        // SAFETY: the name is zero-terminated.
        let format = unsafe { ffi::av_find_input_format(name.as_ptr()) };
        if format.is_null() {
            return Err(MediaError::Internal(format!("demuxer {} is missing", self.container.demuxer())));
        }
        let mut options = Options::new(&[
            ("format_whitelist", &demuxers.join(",")),
            ("protocol_whitelist", ""),
            ("codec_whitelist", &DECODERS.join(",")),
            ("probesize", PROBE_BYTES_MAX),
        ]);
        // SAFETY: the context is valid; on failure the call frees it and sets our pointer to null.
        let code =
            unsafe { ffi::avformat_open_input(&raw mut self.context, c"".as_ptr(), format, options.as_mut_ptr()) };
        self.checked(code, "its headers do not parse")
    }

    fn learn_streams(&mut self, limits: &JobLimits) -> Result<(), MediaError> {
        let pixels = limits.pixels.to_string();
        let entries = [("max_pixels", pixels.as_str()), ("threads", "1")];
        let options = (0..self.stream_count()).map(|_| Options::new(&entries));
        let mut pointers: Vec<*mut ffi::AVDictionary> = options.map(Options::into_raw).collect();
        // Each subtitle codec that is not on the list would be told as an error.
        // SAFETY: the context is open, and there is one dictionary for each of its streams.
        let code = unsafe {
            ffi::av_log_set_level(ffi::AV_LOG_FATAL);
            let code = ffi::avformat_find_stream_info(self.context, pointers.as_mut_ptr());
            ffi::av_log_set_level(ffi::AV_LOG_ERROR);
            code
        };
        for pointer in pointers {
            // SAFETY: each pointer came from `into_raw`, or is what the call left of it.
            drop(unsafe { Options::from_raw(pointer) });
        }
        self.checked(code, "its streams do not parse")
    }

    /// Reads the next packet; `false` at the end.
    pub(crate) fn read(&mut self, packet: &mut Packet) -> Result<bool, MediaError> {
        packet.clear();
        // SAFETY: both pointers are valid and the packet is empty.
        let code = unsafe { ffi::av_read_frame(self.context, packet.as_mut_ptr()) };
        if code == ffi::AVERROR_EOF {
            // Some demuxers report a failed read as the end.
            return self.checked(0, "").map(|()| false);
        }
        if code < 0 {
            let position = self.position_bytes();
            return self.checked(code, &format!("it breaks off near byte {position}")).map(|()| false);
        }
        if packet.is_encrypted() {
            return Err(MediaError::Unsupported(format!("stream {} is encrypted", packet.stream_index())));
        }
        Ok(true)
    }

    /// Leaves only one stream to be read.
    pub(crate) fn keep_only(&mut self, stream_indices: &[u32]) {
        for (index, &stream) in (0..).zip(self.streams()) {
            let keep = stream_indices.contains(&index);
            // SAFETY: the stream belongs to the open context, and the field may be set at any time.
            unsafe {
                (*stream).discard = if keep { ffi::AVDiscard::AVDISCARD_DEFAULT } else { ffi::AVDiscard::AVDISCARD_ALL }
            };
        }
    }

    /// Jumps to at or before a place; whether it was reached is for the caller to check by the packets that come.
    pub(crate) fn seek(&mut self, stream_index: u32, ticks: i64, offset_bytes: Option<u64>) -> bool {
        let (index, target, flags) = match self.container {
            Container::MpegTs | Container::MpegPs => {
                let Some(offset) = offset_bytes.and_then(|offset| i64::try_from(offset).ok()) else { return false };
                (-1, offset, ffi::AVSEEK_FLAG_BYTE)
            }
            Container::Matroska => {
                let (index, ticks) = self.cued(stream_index, ticks);
                (index, ticks, ffi::AVSEEK_FLAG_BACKWARD)
            }
            _ => (c_int::try_from(stream_index).unwrap_or(-1), ticks, ffi::AVSEEK_FLAG_BACKWARD),
        };
        // SAFETY: the context is open, and an index that is out of range is refused by the call.
        unsafe { ffi::av_seek_frame(self.context, index, target, flags) >= 0 }
    }

    /// Returns the stream that Matroska's cues usually point into, video, and the time in its ticks: without cues of its
    /// own, a stream would be searched from the start of the file.
    fn cued(&self, stream_index: u32, ticks: i64) -> (c_int, i64) {
        let own = c_int::try_from(stream_index).unwrap_or(-1);
        let is_video = |&stream: &*mut ffi::AVStream| {
            // SAFETY: a stream of an open context is valid and has parameters; the fields are read as numbers.
            unsafe {
                let kind = raw_enum!((*stream).codecpar, codec_type);
                kind == ffi::AVMediaType::AVMEDIA_TYPE_VIDEO as c_int
                    && (*stream).disposition & ffi::AV_DISPOSITION_ATTACHED_PIC == 0
            }
        };
        let streams = self.streams();
        let (Some(place), Some(&stream)) = (streams.iter().position(is_video), streams.get(stream_index as usize))
        else {
            return (own, ticks);
        };
        // SAFETY: both streams are valid; a time base of an open stream is positive.
        let ticks = unsafe {
            let video = streams.get(place).map_or((*stream).time_base, |&video| (*video).time_base);
            ffi::av_rescale_q_rnd(ticks, (*stream).time_base, video, ffi::AVRounding::AV_ROUND_DOWN)
        };
        (c_int::try_from(place).unwrap_or(own), ticks)
    }

    /// Returns where the demuxer stands in the file.
    pub(crate) fn position_bytes(&self) -> u64 {
        // SAFETY: the state lives as long as `self`, and no callback runs now.
        unsafe { (*self.state).reader.position() }
    }

    /// Returns the bytes of the source.
    pub(crate) fn len_bytes(&self) -> u64 {
        // SAFETY: as in `position_bytes`.
        unsafe { (*self.state).reader.len_bytes() }
    }

    pub(super) fn context(&self) -> *mut ffi::AVFormatContext {
        self.context
    }

    fn stream_count(&self) -> u32 {
        // SAFETY: the context is open.
        unsafe { (*self.context).nb_streams }
    }

    pub(super) fn streams(&self) -> &[*mut ffi::AVStream] {
        // SAFETY: the context is open and holds `nb_streams` pointers; none is added while they are borrowed.
        unsafe {
            match (*self.context).nb_streams as usize {
                0 => &[],
                count => slice::from_raw_parts((*self.context).streams, count),
            }
        }
    }

    /// Tells a failed read apart from bytes that do not parse.
    fn checked(&mut self, code: c_int, reason: &str) -> Result<(), MediaError> {
        // SAFETY: the state lives as long as `self`, and no callback runs now.
        if let Some(failure) = unsafe { (*self.state).failure.take() } {
            return Err(failure);
        }
        if code >= 0 {
            return Ok(());
        }
        let (demuxer, text) = (self.container.demuxer(), error_text(code));
        let message = format!("source looks like {demuxer} but {reason}: {text}");
        Err(if code == ffi::AVERROR(libc::ENOMEM) { MediaError::Limit(message) } else { MediaError::Corrupt(message) })
    }
}

impl Drop for Demuxer {
    fn drop(&mut self) {
        // SAFETY: each pointer is null or ours; the context goes first, then the reads it uses, then their state.
        unsafe {
            ffi::avformat_close_input(&raw mut self.context);
            if !self.io.is_null() {
                ffi::av_freep((&raw mut (*self.io).buffer).cast());
                ffi::avio_context_free(&raw mut self.io);
            }
            drop(Box::from_raw(self.state));
        }
    }
}

/// Fills libavformat's buffer.
unsafe extern "C" fn on_read(opaque: *mut c_void, buffer: *mut u8, buffer_bytes: c_int) -> c_int {
    // SAFETY: `opaque` is the state given to `avio_alloc_context`; callbacks of one context never overlap.
    let state = unsafe { &mut *opaque.cast::<IoState>() };
    let Ok(len) = usize::try_from(buffer_bytes) else { return ffi::AVERROR(libc::EINVAL) };
    // SAFETY: libavformat gives a buffer of that many bytes; a byte buffer of its own is initialised by this write alone.
    let out = unsafe { slice::from_raw_parts_mut(buffer, len) };
    match state.reader.read(out) {
        Ok(0) => ffi::AVERROR_EOF,
        Ok(count) => c_int::try_from(count).unwrap_or(c_int::MAX),
        Err(error) => {
            state.failure.get_or_insert(error);
            ffi::AVERROR(libc::EIO)
        }
    }
}

/// Moves the reading place, or tells the length.
unsafe extern "C" fn on_seek(opaque: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: as in `on_read`.
    let state = unsafe { &mut *opaque.cast::<IoState>() };
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let target = match whence & !ffi::AVSEEK_FORCE {
        ffi::AVSEEK_SIZE => return signed(state.reader.len_bytes()),
        libc::SEEK_SET => Some(offset),
        libc::SEEK_CUR => signed(state.reader.position()).checked_add(offset),
        libc::SEEK_END => signed(state.reader.len_bytes()).checked_add(offset),
        _ => None,
    };
    match target.and_then(|target| u64::try_from(target).ok()) {
        Some(target) => {
            state.reader.seek(target);
            signed(target)
        }
        None => i64::from(ffi::AVERROR(libc::EINVAL)),
    }
}

/// Refuses every other resource that a source may name.
unsafe extern "C" fn on_open(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    ffi::AVERROR(libc::EPERM)
}
