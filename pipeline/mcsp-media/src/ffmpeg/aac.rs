//! AAC-LC by libavcodec's own encoder. In: blocks of 1024 samples. Out: codec frames, one behind the block it needs next.

use std::ffi::c_int;
use std::{ptr, slice};

use ffmpeg_next::ffi;
use mcsp_domain::AAC_FRAME_SAMPLES;

use super::options::Options;
use super::{Frame, Packet, allocated, check};
use crate::error::MediaError;

/// `FF_PROFILE_AAC_LOW`, libavcodec/avcodec.h.
const PROFILE_LOW_COMPLEXITY: c_int = 1;

/// An open encoder. Its frame `k` (from 0) completes the samples of block `k - 1`: the first one is priming.
pub(crate) struct AacEncoder {
    context: *mut ffi::AVCodecContext,
    packet: Packet,
    fed_samples: i64,
}

// SAFETY: the context is owned by this value alone.
unsafe impl Send for AacEncoder {}

impl AacEncoder {
    /// Opens an encoder for one or two channels.
    pub(crate) fn open(channel_count: u8, sample_rate_hz: u32, bitrate_kbps: u32) -> Result<Self, MediaError> {
        // SAFETY: the name is zero-terminated; the result is checked.
        let codec = unsafe { ffi::avcodec_find_encoder_by_name(c"aac".as_ptr()) };
        if codec.is_null() {
            return Err(MediaError::Internal("encoder aac is missing".into()));
        }
        // SAFETY: the codec is static; the result is checked.
        let context = allocated(unsafe { ffi::avcodec_alloc_context3(codec) }, "an encoder")?;
        let encoder = Self { context, packet: Packet::new()?, fed_samples: 0 };
        let rate = c_int::try_from(sample_rate_hz).unwrap_or(c_int::MAX);
        let mut options = Options::new(&[("threads", "1")]);
        // SAFETY: the context is valid and not yet open.
        let code = unsafe {
            ffi::av_channel_layout_default(&raw mut (*context).ch_layout, channel_count.into());
            (*context).sample_fmt = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP;
            (*context).sample_rate = rate;
            (*context).time_base = ffi::AVRational { num: 1, den: rate };
            (*context).bit_rate = i64::from(bitrate_kbps) * 1000;
            (*context).profile = PROFILE_LOW_COMPLEXITY;
            // Without bit-exactness the first frame carries the library's version.
            (*context).flags |= (ffi::AV_CODEC_FLAG_GLOBAL_HEADER | ffi::AV_CODEC_FLAG_BITEXACT) as c_int;
            ffi::avcodec_open2(context, codec, options.as_mut_ptr())
        };
        check(
            code,
            &format!("opening aac for {channel_count} channels at {sample_rate_hz} Hz, {bitrate_kbps} kbit/s"),
        )?;
        // SAFETY: the context is open.
        let (frame_samples, padding) = unsafe { ((*context).frame_size, (*context).initial_padding) };
        if i64::from(frame_samples) != AAC_FRAME_SAMPLES || i64::from(padding) != AAC_FRAME_SAMPLES {
            let message =
                format!("aac has frames of {frame_samples} samples after {padding} of priming, 1024 expected");
            return Err(MediaError::Internal(message));
        }
        Ok(encoder)
    }

    /// Returns the `AudioSpecificConfig`.
    pub(crate) fn decoder_config(&self) -> Vec<u8> {
        // SAFETY: the open context keeps `extradata_size` bytes behind `extradata`.
        unsafe {
            match usize::try_from((*self.context).extradata_size) {
                Ok(len) if !(*self.context).extradata.is_null() => {
                    slice::from_raw_parts((*self.context).extradata, len).to_vec()
                }
                _ => Vec::new(),
            }
        }
    }

    /// Encodes one block of 1024 samples a channel; hands the frames that come out to `take`.
    pub(crate) fn encode(
        &mut self,
        planes: &[&[f32]],
        mut take: impl FnMut(&[u8]) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let mut frame = Frame::new()?;
        let pointer = frame.as_mut_ptr();
        // SAFETY: the frame is valid and empty; the layout of one or two channels needs no memory of its own.
        unsafe {
            (*pointer).nb_samples = c_int::try_from(AAC_FRAME_SAMPLES).unwrap_or(0);
            (*pointer).format = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP as c_int;
            (*pointer).sample_rate = (*self.context).sample_rate;
            (*pointer).pts = self.fed_samples;
            let layout = &raw const (*self.context).ch_layout;
            check(ffi::av_channel_layout_copy(&raw mut (*pointer).ch_layout, layout), "making a block")?;
            check(ffi::av_frame_get_buffer(pointer, 0), "making a block")?;
        }
        for (index, plane) in planes.iter().enumerate() {
            assert!(plane.len() == 1024, "a block of {} samples", plane.len());
            // SAFETY: the frame has a plane of 1024 floats for each channel, and there are no more planes than channels.
            unsafe {
                let to = (*pointer).extended_data.add(index).read().cast::<f32>();
                ptr::copy_nonoverlapping(plane.as_ptr(), to, plane.len());
            }
        }
        self.fed_samples += AAC_FRAME_SAMPLES;
        // SAFETY: both are valid.
        check(unsafe { ffi::avcodec_send_frame(self.context, pointer) }, "encoding audio")?;
        while self.receive()? {
            take(self.packet.data())?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<bool, MediaError> {
        self.packet.clear();
        // SAFETY: both are valid.
        let code = unsafe { ffi::avcodec_receive_packet(self.context, self.packet.as_mut_ptr()) };
        if code == ffi::AVERROR_EOF || code == ffi::AVERROR(libc::EAGAIN) {
            return Ok(false);
        }
        check(code, "encoding audio").map(|_| true)
    }
}

impl Drop for AacEncoder {
    fn drop(&mut self) {
        // SAFETY: the context came from `avcodec_alloc_context3` and is freed once.
        unsafe { ffi::avcodec_free_context(&raw mut self.context) };
    }
}
