//! The CPU engine: thin owners around FFmpeg's C structures. Nothing outside this folder touches a raw pointer of FFmpeg.

mod aac;
mod annexb;
mod buffers;
mod decode;
mod demux;
mod filter;
mod jpeg;
mod luma;
mod options;
mod resample;
mod sps;
mod tags;
mod tracks;
mod warm;
mod x264;

pub(crate) use aac::AacEncoder;
pub(crate) use buffers::{Frame, Packet};
pub(crate) use decode::{DecodeStep, Decoder};
pub(crate) use demux::Demuxer;
pub(crate) use filter::{Graph, tag_picture};
pub(crate) use jpeg::{Planes, encode_jpeg};
pub(crate) use resample::{Mixer, RateConverter};
pub(crate) use tracks::{SourceTracks, StreamClock};
pub(crate) use warm::warm_up;
pub(crate) use x264::{EncodedPicture, X264Encoder, X264Settings};

use ffmpeg_next::ffi;

use crate::error::MediaError;

/// Returns FFmpeg's own words for an error code.
fn error_text(code: i32) -> String {
    let mut text = [0; 128];
    // SAFETY: the buffer is as long as it is said to be, and is zero-terminated even when the code is unknown.
    let text = unsafe {
        ffi::av_strerror(code, text.as_mut_ptr(), text.len());
        std::ffi::CStr::from_ptr(text.as_ptr())
    };
    text.to_string_lossy().into_owned()
}

/// Turns a negative code of a call that only fails by our fault or for want of memory into an error.
fn check(code: i32, act: &str) -> Result<i32, MediaError> {
    if code < 0 { Err(MediaError::Internal(format!("{act} failed: {}", error_text(code)))) } else { Ok(code) }
}

/// Returns the pointer unless it is null, which means that memory is out.
fn allocated<T>(pointer: *mut T, what: &str) -> Result<*mut T, MediaError> {
    if pointer.is_null() { Err(MediaError::Limit(format!("no memory for {what}"))) } else { Ok(pointer) }
}

/// Reads a field that C calls an enum as the number it is: a damaged source may hold values that no enum of ours has.
macro_rules! raw_enum {
    ($pointer:expr, $field:ident) => {
        std::ptr::addr_of!((*$pointer).$field).cast::<std::ffi::c_int>().read()
    };
}
use raw_enum;
