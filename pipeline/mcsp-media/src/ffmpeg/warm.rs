//! Everything that libav does once, done before confinement: libraries loaded, tables made, processor features found.

use std::ffi::CStr;

use ffmpeg_next::ffi;
use mcsp_domain::{Colour, Preset};

use super::filter::Graph;
use super::resample::RateConverter;
use super::{AacEncoder, Frame, X264Encoder, X264Settings, allocated, check};
use crate::error::MediaError;

/// Opens and closes each kind of machinery; returns the engine's name.
pub(crate) fn warm_up() -> Result<String, MediaError> {
    // SAFETY: the level is a number; libav writes what is left to standard error, never to standard output.
    unsafe { ffi::av_log_set_level(ffi::AV_LOG_ERROR) };
    let settings = X264Settings {
        width_px: 64,
        height_px: 64,
        crf: 40,
        maxrate_kbps: 1000,
        preset: Preset::Ultrafast,
        timescale: 25,
        frame_rate: (25, 1),
        colour: Colour::UNSPECIFIED,
    };
    let build = X264Encoder::open(&settings)?.build_number()?.unwrap_or_else(|| "unknown".into());
    AacEncoder::open(2, 48_000, 64)?;
    RateConverter::new(2, 44_100, 48_000)?;
    Graph::scale(32, 32, Colour::UNSPECIFIED).run(grey_picture()?)?;
    open_decoder(c"libdav1d")?;
    open_decoder(c"h264")?;
    // SAFETY: both calls take nothing and return a static string and a number.
    let (version, codec) = unsafe { (CStr::from_ptr(ffi::av_version_info()), ffi::avcodec_version()) };
    let version = version.to_string_lossy();
    let version = version.split('-').next().unwrap_or_default();
    // A library's version is major, minor and micro in 16, 8 and 8 bits (libavutil/version.h).
    let (major, minor, micro) = (codec >> 16, (codec >> 8) & 0xff, codec & 0xff);
    Ok(format!("ffmpeg {version} libavcodec {major}.{minor}.{micro} x264 {build}"))
}

fn grey_picture() -> Result<Frame, MediaError> {
    let mut frame = Frame::new()?;
    let pointer = frame.as_mut_ptr();
    // SAFETY: the frame is valid and empty; any pixels will do.
    unsafe {
        (*pointer).width = 64;
        (*pointer).height = 64;
        (*pointer).format = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as i32;
        (*pointer).pts = 0;
        check(ffi::av_frame_get_buffer(pointer, 0), "making a picture")?;
    }
    Ok(frame)
}

fn open_decoder(name: &CStr) -> Result<(), MediaError> {
    // SAFETY: the name is zero-terminated; a null codec is refused by the next calls, whose results are checked.
    unsafe {
        let codec = ffi::avcodec_find_decoder_by_name(name.as_ptr());
        let mut context = allocated(ffi::avcodec_alloc_context3(codec), "a decoder")?;
        (*context).thread_count = 1;
        let code = ffi::avcodec_open2(context, codec, std::ptr::null_mut());
        ffi::avcodec_free_context(&raw mut context);
        check(code, &format!("opening decoder {}", name.to_string_lossy()))?;
    }
    Ok(())
}
