//! Owned packets and frames: reference-counted data, so that a clone costs no copy of pixels.

use std::ffi::c_int;
use std::{ptr, slice};

use ffmpeg_next::ffi;

use super::{allocated, check, raw_enum};
use crate::error::MediaError;

/// An `AVPacket`.
pub(crate) struct Packet {
    pointer: *mut ffi::AVPacket,
}

impl Packet {
    /// Returns an empty packet.
    pub(crate) fn new() -> Result<Self, MediaError> {
        // SAFETY: no argument; the result is checked.
        let pointer = allocated(unsafe { ffi::av_packet_alloc() }, "a packet")?;
        Ok(Self { pointer })
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::AVPacket {
        self.pointer
    }

    pub(super) fn as_ptr(&self) -> *const ffi::AVPacket {
        self.pointer
    }

    fn raw(&self) -> &ffi::AVPacket {
        // SAFETY: the pointer is valid from `new` to `drop`; packets hold no enum fields that foreign bytes fill.
        unsafe { &*self.pointer }
    }

    /// Lets go of the data, so that the packet can be filled again.
    pub(crate) fn clear(&mut self) {
        // SAFETY: the pointer is valid.
        unsafe { ffi::av_packet_unref(self.pointer) };
    }

    /// Returns the bytes.
    pub(crate) fn data(&self) -> &[u8] {
        let packet = self.raw();
        match usize::try_from(packet.size) {
            // SAFETY: FFmpeg keeps `size` bytes behind `data`, which live as long as the packet.
            Ok(len) if len > 0 && !packet.data.is_null() => unsafe { slice::from_raw_parts(packet.data, len) },
            _ => &[],
        }
    }

    /// Returns the stream's index.
    pub(crate) fn stream_index(&self) -> u32 {
        u32::try_from(self.raw().stream_index).unwrap_or(u32::MAX)
    }

    /// Returns the presentation time in ticks of the stream.
    pub(crate) fn pts(&self) -> Option<i64> {
        known(self.raw().pts)
    }

    /// Returns the decode time in ticks of the stream.
    pub(crate) fn dts(&self) -> Option<i64> {
        known(self.raw().dts)
    }

    /// Returns the duration in ticks of the stream, 0 when unknown.
    pub(crate) fn duration(&self) -> i64 {
        self.raw().duration.max(0)
    }

    /// Returns where the packet starts in the file.
    pub(crate) fn offset_bytes(&self) -> Option<u64> {
        u64::try_from(self.raw().pos).ok()
    }

    /// Returns whether decoding can start here, as the container tells.
    pub(crate) fn is_key(&self) -> bool {
        self.raw().flags & ffi::AV_PKT_FLAG_KEY != 0
    }

    /// Returns whether the packet is decoded but not shown: an edit list leaves it out.
    pub(crate) fn is_discarded(&self) -> bool {
        self.raw().flags & ffi::AV_PKT_FLAG_DISCARD != 0
    }

    /// Returns whether the container says that the packet is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_ENCRYPTION_INFO;
        // SAFETY: the packet is valid; the length is not asked for.
        !unsafe { ffi::av_packet_get_side_data(self.pointer, kind, ptr::null_mut()) }.is_null()
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `av_packet_alloc` and is freed once.
        unsafe { ffi::av_packet_free(&raw mut self.pointer) };
    }
}

/// An `AVFrame`, of video or audio.
pub(crate) struct Frame {
    pointer: *mut ffi::AVFrame,
}

// SAFETY: a frame belongs to one thread at a time; the data that clones share is counted atomically and only read.
unsafe impl Send for Frame {}

impl Frame {
    /// Returns an empty frame.
    pub(crate) fn new() -> Result<Self, MediaError> {
        // SAFETY: no argument; the result is checked.
        let pointer = allocated(unsafe { ffi::av_frame_alloc() }, "a frame")?;
        Ok(Self { pointer })
    }

    /// Returns a frame that shares this one's data.
    pub(crate) fn share(&self) -> Result<Self, MediaError> {
        let mut shared = Self::new()?;
        // SAFETY: both frames are valid and the new one is empty.
        check(unsafe { ffi::av_frame_ref(shared.as_mut_ptr(), self.pointer) }, "sharing a frame")?;
        Ok(shared)
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::AVFrame {
        self.pointer
    }

    pub(super) fn as_ptr(&self) -> *const ffi::AVFrame {
        self.pointer
    }

    /// Lets go of the data, so that the frame can be filled again.
    pub(crate) fn clear(&mut self) {
        // SAFETY: the pointer is valid.
        unsafe { ffi::av_frame_unref(self.pointer) };
    }

    /// Returns the presentation time, as well as the decoder can tell it.
    pub(crate) fn best_pts(&self) -> Option<i64> {
        // SAFETY: the pointer is valid, the field is a number.
        known(unsafe { (*self.pointer).best_effort_timestamp })
    }

    /// Returns the presentation time.
    pub(crate) fn pts(&self) -> Option<i64> {
        // SAFETY: the pointer is valid, the field is a number.
        known(unsafe { (*self.pointer).pts })
    }

    /// Returns width and height.
    pub(crate) fn size_px(&self) -> (i32, i32) {
        // SAFETY: the pointer is valid, the fields are numbers.
        unsafe { ((*self.pointer).width, (*self.pointer).height) }
    }

    /// Returns the number of the pixel or sample format.
    pub(crate) fn format(&self) -> c_int {
        // SAFETY: the pointer is valid, the field is a number.
        unsafe { (*self.pointer).format }
    }

    /// Returns the samples of each channel of an audio frame.
    pub(crate) fn sample_count(&self) -> i64 {
        // SAFETY: the pointer is valid, the field is a number.
        i64::from(unsafe { (*self.pointer).nb_samples })
    }

    /// Returns the samples per second of an audio frame.
    pub(crate) fn sample_rate_hz(&self) -> u32 {
        // SAFETY: the pointer is valid, the field is a number.
        u32::try_from(unsafe { (*self.pointer).sample_rate }).unwrap_or(0)
    }

    /// Returns the number of the transfer characteristics.
    pub(crate) fn transfer(&self) -> c_int {
        // SAFETY: the pointer is valid, the field is read as a number.
        unsafe { raw_enum!(self.pointer, color_trc) }
    }

    /// Returns the order of the two fields of an interlaced picture.
    pub(crate) fn field_order(&self) -> Option<&'static str> {
        // SAFETY: the pointer is valid, the fields are numbers.
        let (interlaced, top_first) = unsafe { ((*self.pointer).interlaced_frame, (*self.pointer).top_field_first) };
        (interlaced != 0).then_some(if top_first != 0 { "top field first" } else { "bottom field first" })
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `av_frame_alloc` and is freed once.
        unsafe { ffi::av_frame_free(&raw mut self.pointer) };
    }
}

/// Returns a timestamp unless it is FFmpeg's sign for none, or so large that sums of it would overflow.
fn known(ticks: i64) -> Option<i64> {
    (ticks != ffi::AV_NOPTS_VALUE && ticks.unsigned_abs() < 1 << 62).then_some(ticks)
}
