//! H.264 by libx264: capped constant quality, closed GOPs where we say, the same headers in every chunk.

use std::ffi::c_int;
use std::{ptr, slice};

use ffmpeg_next::ffi;
use mcsp_domain::{Colour, Preset, limits};

use super::options::Options;
use super::{Frame, Packet, allocated, annexb, check, error_text};
use crate::error::MediaError;

/// What x264 is told beside FFmpeg's own options: keyframes are placed by us alone, and headers do not depend on content,
/// so that chunks of one rung share one sample entry.
const X264_PARAMETERS: &str = "keyint=infinite:min-keyint=1:scenecut=0:open-gop=0:stitchable=1";

/// What an encoder is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct X264Settings {
    /// Width, even.
    pub(crate) width_px: u32,
    /// Height, even.
    pub(crate) height_px: u32,
    /// Constant rate factor.
    pub(crate) crf: u8,
    /// VBV rate; the buffer is twice as many bits.
    pub(crate) maxrate_kbps: u32,
    /// Speed.
    pub(crate) preset: Preset,
    /// Ticks per second of frame times.
    pub(crate) timescale: u32,
    /// Average frames per second, for rate control.
    pub(crate) frame_rate: (u32, u32),
    /// Tags.
    pub(crate) colour: Colour,
}

/// One coded picture.
pub(crate) struct EncodedPicture {
    /// Its time.
    pub(crate) pts: i64,
    /// Whether it is an IDR picture.
    pub(crate) key: bool,
    /// NAL units behind 4-byte lengths.
    pub(crate) bytes: Vec<u8>,
}

/// An open encoder.
pub(crate) struct X264Encoder {
    context: *mut ffi::AVCodecContext,
    packet: Packet,
}

// SAFETY: the context is owned by this value alone.
unsafe impl Send for X264Encoder {}

impl X264Encoder {
    /// Opens an encoder.
    pub(crate) fn open(settings: &X264Settings) -> Result<Self, MediaError> {
        // SAFETY: the name is zero-terminated; the result is checked.
        let codec = unsafe { ffi::avcodec_find_encoder_by_name(c"libx264".as_ptr()) };
        if codec.is_null() {
            return Err(MediaError::Internal("encoder libx264 is missing".into()));
        }
        // SAFETY: the codec is static; the result is checked.
        let context = allocated(unsafe { ffi::avcodec_alloc_context3(codec) }, "an encoder")?;
        let encoder = Self { context, packet: Packet::new()? };
        // SAFETY: the context is valid and not yet open.
        unsafe { apply(context, settings) };
        let crf = settings.crf.to_string();
        let mut options = Options::new(&[
            ("preset", settings.preset.name()),
            ("profile", "high"),
            ("crf", &crf),
            ("forced-idr", "1"),
            ("threads", "1"),
            ("x264-params", X264_PARAMETERS),
        ]);
        // SAFETY: context and codec are valid.
        let code = unsafe { ffi::avcodec_open2(context, codec, options.as_mut_ptr()) };
        let unknown = options.left_over();
        if code < 0 || !unknown.is_empty() {
            let (width, height, text) = (settings.width_px, settings.height_px, error_text(code));
            return Err(MediaError::Internal(format!("libx264 at {width}x{height} does not open: {text} {unknown:?}")));
        }
        Ok(encoder)
    }

    /// Returns the `AVCDecoderConfigurationRecord`.
    pub(crate) fn decoder_config(&self) -> Result<Vec<u8>, MediaError> {
        // SAFETY: the open context keeps `extradata_size` bytes behind `extradata`.
        let extradata = unsafe {
            match usize::try_from((*self.context).extradata_size) {
                Ok(len) if !(*self.context).extradata.is_null() => {
                    slice::from_raw_parts((*self.context).extradata, len)
                }
                _ => &[],
            }
        };
        annexb::decoder_config(extradata).ok_or_else(|| MediaError::Internal("libx264 gave no parameter sets".into()))
    }

    /// Encodes one picture at a time that is later than the one before; hands what comes out to `take`.
    pub(crate) fn encode(
        &mut self,
        frame: &mut Frame,
        pts: i64,
        key: bool,
        take: impl FnMut(EncodedPicture) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let pointer = frame.as_mut_ptr();
        // SAFETY: the frame is valid. A decoded frame carries its source's picture type, which x264 would obey.
        unsafe {
            (*pointer).pts = pts;
            (*pointer).pict_type =
                if key { ffi::AVPictureType::AV_PICTURE_TYPE_I } else { ffi::AVPictureType::AV_PICTURE_TYPE_NONE };
            check(ffi::avcodec_send_frame(self.context, pointer), "encoding a picture")?;
        }
        self.drain(take)
    }

    /// Ends the stream; hands what comes out to `take`.
    pub(crate) fn finish(
        &mut self,
        take: impl FnMut(EncodedPicture) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        // SAFETY: the context is valid; a null frame means the end.
        check(unsafe { ffi::avcodec_send_frame(self.context, ptr::null()) }, "ending an encoder")?;
        self.drain(take)
    }

    fn drain(&mut self, mut take: impl FnMut(EncodedPicture) -> Result<(), MediaError>) -> Result<(), MediaError> {
        while self.receive()? {
            let (bytes, key) = annexb::sample(self.packet.data());
            if bytes.len() > limits::ACCESS_UNIT_BYTES_MAX {
                let (len, max) = (bytes.len(), limits::ACCESS_UNIT_BYTES_MAX);
                return Err(MediaError::Limit(format!("a coded picture has {len} bytes, {max} allowed")));
            }
            let pts = self.packet.pts().ok_or_else(|| MediaError::Internal("libx264 gave no time".into()))?;
            take(EncodedPicture { pts, key, bytes })?;
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
        check(code, "encoding a picture").map(|_| true)
    }

    /// Encodes one grey picture and returns x264's build number, for the engine's name.
    pub(super) fn build_number(mut self) -> Result<Option<String>, MediaError> {
        let mut frame = Frame::new()?;
        let pointer = frame.as_mut_ptr();
        // SAFETY: the frame is valid and empty; its buffers are zeroed nowhere else, and any pixels will do.
        unsafe {
            (*pointer).width = (*self.context).width;
            (*pointer).height = (*self.context).height;
            (*pointer).format = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
            check(ffi::av_frame_get_buffer(pointer, 0), "making a picture")?;
            (*pointer).pts = 0;
            check(ffi::avcodec_send_frame(self.context, pointer), "encoding a picture")?;
            check(ffi::avcodec_send_frame(self.context, ptr::null()), "ending an encoder")?;
        }
        let mut build = None;
        while self.receive()? {
            build = build.or_else(|| annexb::x264_build(self.packet.data()));
        }
        Ok(build)
    }
}

impl Drop for X264Encoder {
    fn drop(&mut self) {
        // SAFETY: the context came from `avcodec_alloc_context3` and is freed once.
        unsafe { ffi::avcodec_free_context(&raw mut self.context) };
    }
}

/// Fills in what is a field rather than an option.
///
/// # Safety
/// The context is valid and not yet open.
unsafe fn apply(context: *mut ffi::AVCodecContext, settings: &X264Settings) {
    let number = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX);
    let bits_per_second = i64::from(settings.maxrate_kbps) * 1000;
    let colour = settings.colour;
    // SAFETY: the context is valid; colour fields have the size of a C int and take the code points that libav knows.
    unsafe {
        (*context).width = number(settings.width_px);
        (*context).height = number(settings.height_px);
        (*context).pix_fmt = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P;
        (*context).time_base = ffi::AVRational { num: 1, den: number(settings.timescale) };
        (*context).framerate =
            ffi::AVRational { num: number(settings.frame_rate.0), den: number(settings.frame_rate.1) };
        (*context).sample_aspect_ratio = ffi::AVRational { num: 1, den: 1 };
        (*context).rc_max_rate = bits_per_second;
        (*context).rc_buffer_size = c_int::try_from(bits_per_second * 2).unwrap_or(c_int::MAX);
        (*context).flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as c_int;
        ptr::addr_of_mut!((*context).color_primaries).cast::<c_int>().write(colour.primaries.into());
        ptr::addr_of_mut!((*context).color_trc).cast::<c_int>().write(colour.transfer.into());
        ptr::addr_of_mut!((*context).colorspace).cast::<c_int>().write(colour.matrix.into());
        // 0 is unspecified, 1 limited and 2 full range, libavutil/pixfmt.h.
        let range = if colour.full_range { 2 } else { c_int::from(colour.is_specified()) };
        ptr::addr_of_mut!((*context).color_range).cast::<c_int>().write(range);
    }
}
