//! Decoding by libavcodec, from a fixed list of decoders.

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next::ffi;

use super::options::Options;
use super::{Demuxer, Frame, Packet, allocated, check, error_text};
use crate::error::MediaError;

/// The decoders that may see a source; the first that fits a codec is taken.
pub(super) const DECODERS: [&str; 35] = [
    "h264",
    "hevc",
    "vp8",
    "vp9",
    "libdav1d",
    "mpeg1video",
    "mpeg2video",
    "mpeg4",
    "mjpeg",
    "prores",
    "dnxhd",
    "theora",
    "ffv1",
    "aac",
    "mp3float",
    "mp3",
    "mp2float",
    "mp2",
    "ac3",
    "eac3",
    "opus",
    "vorbis",
    "flac",
    "alac",
    "pcm_u8",
    "pcm_s16le",
    "pcm_s16be",
    "pcm_s24le",
    "pcm_s24be",
    "pcm_s32le",
    "pcm_s32be",
    "pcm_f32le",
    "pcm_f32be",
    "pcm_mulaw",
    "pcm_alaw",
];

/// An open decoder of one stream.
pub(crate) struct Decoder {
    context: *mut ffi::AVCodecContext,
    stream_index: u32,
    codec: String,
}

// SAFETY: the context is owned by this value alone; threads of its own are the library's affair.
unsafe impl Send for Decoder {}

/// What came of asking a decoder for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeStep {
    /// The frame is filled.
    Frame,
    /// The decoder wants the next packet.
    Wants,
    /// A packet did not decode; go on.
    Damaged,
    /// Everything has come out.
    End,
}

impl Decoder {
    /// Opens the decoder of a stream.
    pub(crate) fn open(demuxer: &Demuxer, stream_index: u32, pixels_max: u64) -> Result<Self, MediaError> {
        let streams = demuxer.streams();
        let stream = streams.get(stream_index as usize).copied();
        let stream = stream.ok_or_else(|| {
            MediaError::Internal(format!("stream {stream_index} is wanted of {} streams", streams.len()))
        })?;
        // SAFETY: a stream of an open source is valid and has parameters, whose codec has a name.
        let (parameters, time_base, codec) = unsafe {
            let parameters = (*stream).codecpar;
            let name = CStr::from_ptr(ffi::avcodec_get_name((*parameters).codec_id));
            (parameters, (*stream).time_base, name.to_string_lossy().into_owned())
        };
        let found = find(parameters).ok_or_else(|| {
            MediaError::Unsupported(format!("codec {codec} of stream {stream_index} is not supported"))
        })?;
        // SAFETY: `found` is a static codec of the library; the result is checked.
        let context = allocated(unsafe { ffi::avcodec_alloc_context3(found) }, "a decoder")?;
        let decoder = Self { context, stream_index, codec };
        // SAFETY: both are valid; the parameters are copied.
        check(unsafe { ffi::avcodec_parameters_to_context(context, parameters) }, "copying a stream's parameters")?;
        let pixels_max = pixels_max.to_string();
        // One thread: measured, a second one costs memory and more processor time than it saves on small jobs, and
        // chunks run side by side anyway.
        let mut options = Options::new(&[("threads", "1"), ("max_pixels", &pixels_max)]);
        // SAFETY: the context is valid and not yet open.
        let code = unsafe {
            (*context).pkt_timebase = time_base;
            ffi::avcodec_open2(context, found, options.as_mut_ptr())
        };
        if code < 0 {
            let (codec, text) = (&decoder.codec, error_text(code));
            return Err(MediaError::Corrupt(format!("stream {stream_index} does not open as {codec}: {text}")));
        }
        Ok(decoder)
    }

    /// Gives the decoder a packet; `Damaged` when it cannot use it.
    pub(crate) fn send(&mut self, packet: &Packet) -> Result<DecodeStep, MediaError> {
        // SAFETY: both are valid.
        self.step(unsafe { ffi::avcodec_send_packet(self.context, packet.as_ptr()) })
    }

    /// Tells the decoder that no packet follows.
    pub(crate) fn finish(&mut self) -> Result<(), MediaError> {
        // SAFETY: the context is valid; a null packet means the end.
        self.step(unsafe { ffi::avcodec_send_packet(self.context, ptr::null()) }).map(|_| ())
    }

    /// Forgets everything: the next packet must be one that decoding can start from.
    pub(crate) fn reset(&mut self) {
        // SAFETY: the context is open.
        unsafe { ffi::avcodec_flush_buffers(self.context) };
    }

    /// Asks for a frame.
    pub(crate) fn receive(&mut self, frame: &mut Frame) -> Result<DecodeStep, MediaError> {
        frame.clear();
        // SAFETY: both are valid.
        self.step(unsafe { ffi::avcodec_receive_frame(self.context, frame.as_mut_ptr()) })
    }

    fn step(&self, code: i32) -> Result<DecodeStep, MediaError> {
        match code {
            0.. => Ok(DecodeStep::Frame),
            ffi::AVERROR_EOF => Ok(DecodeStep::End),
            code if code == ffi::AVERROR(libc::EAGAIN) => Ok(DecodeStep::Wants),
            code if code == ffi::AVERROR(libc::ENOMEM) => {
                let (index, codec) = (self.stream_index, &self.codec);
                Err(MediaError::Limit(format!("no memory to decode stream {index} ({codec})")))
            }
            _ => Ok(DecodeStep::Damaged),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the context came from `avcodec_alloc_context3` and is freed once.
        unsafe { ffi::avcodec_free_context(&raw mut self.context) };
    }
}

fn find(parameters: *const ffi::AVCodecParameters) -> Option<*const ffi::AVCodec> {
    DECODERS.iter().find_map(|name| {
        let name = CString::new(*name).ok()?;
        // SAFETY: the name is zero-terminated; a codec is static; the parameters are valid and hold a known identifier.
        unsafe {
            let codec = ffi::avcodec_find_decoder_by_name(name.as_ptr());
            (!codec.is_null() && (*codec).id == (*parameters).codec_id).then_some(codec)
        }
    })
}
