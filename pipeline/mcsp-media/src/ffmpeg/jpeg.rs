//! Stills: 4:2:0 pictures of full range as bytes of our own, and JPEG by libavcodec's encoder.

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi;

use super::options::Options;
use super::{Frame, Packet, allocated, check};
use crate::error::MediaError;

/// The factor between a quantiser and FFmpeg's lambda, `FF_QP2LAMBDA` of libavutil/avutil.h.
const QP_TO_LAMBDA: c_int = 118;

/// A picture in three planes: luma, and two of half the width and height. Edges are even.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    /// Width of the luma plane.
    pub(crate) width_px: usize,
    /// Height of the luma plane.
    pub(crate) height_px: usize,
    /// Row-major, without padding.
    pub(crate) planes: [Vec<u8>; 3],
}

impl Planes {
    /// Returns a black picture.
    pub(crate) fn black(width_px: usize, height_px: usize) -> Self {
        let chroma = width_px / 2 * (height_px / 2);
        Self { width_px, height_px, planes: [vec![0; width_px * height_px], vec![128; chroma], vec![128; chroma]] }
    }

    /// Copies a picture out of a frame of format `yuv420p`.
    pub(crate) fn of(frame: &Frame) -> Result<Self, MediaError> {
        let (width, height) = frame.size_px();
        let edges = (usize::try_from(width).unwrap_or(0), usize::try_from(height).unwrap_or(0));
        let (width_px, height_px) = edges;
        if frame.format() != ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int || width_px % 2 + height_px % 2 > 0 {
            return Err(MediaError::Internal(format!("a still came as {width}x{height} of format {}", frame.format())));
        }
        let mut out = Self::black(width_px, height_px);
        for (index, plane) in out.planes.iter_mut().enumerate() {
            let row_px = if index == 0 { width_px } else { width_px / 2 };
            // SAFETY: a picture of this format has three planes, `linesize` apart in rows of at least `row_px` bytes.
            let (data, stride) = unsafe { ((*frame.as_ptr()).data[index], (*frame.as_ptr()).linesize[index]) };
            for (row, line) in plane.chunks_exact_mut(row_px.max(1)).enumerate() {
                let offset = isize::try_from(row).unwrap_or(0) * isize::try_from(stride).unwrap_or(0);
                // SAFETY: as above; `line` is as long as a row.
                unsafe { ptr::copy_nonoverlapping(data.offset(offset), line.as_mut_ptr(), line.len()) };
            }
        }
        Ok(out)
    }

    /// Copies another picture to an even place in this one; it must fit.
    pub(crate) fn paste(&mut self, tile: &Self, left_px: usize, top_px: usize) {
        assert!(
            left_px + tile.width_px <= self.width_px && top_px + tile.height_px <= self.height_px,
            "a tile outside"
        );
        for (index, (to, from)) in self.planes.iter_mut().zip(&tile.planes).enumerate() {
            let half = if index == 0 { 1 } else { 2 };
            let (to_row, from_row) = (self.width_px / half, tile.width_px / half);
            for (row, line) in from.chunks_exact(from_row.max(1)).enumerate() {
                let start = (top_px / half + row) * to_row + left_px / half;
                if let Some(place) = to.get_mut(start..start + line.len()) {
                    place.copy_from_slice(line);
                }
            }
        }
    }
}

/// Returns a JPEG file; `quantiser` is 1, the best, to 31.
pub(crate) fn encode_jpeg(picture: &Planes, quantiser: u8) -> Result<Vec<u8>, MediaError> {
    let mut encoder = Encoder::open(picture, quantiser)?;
    let mut frame = Frame::new()?;
    let pointer = frame.as_mut_ptr();
    // SAFETY: the frame is valid and empty; its buffer is made by the next call.
    unsafe {
        (*pointer).width = (*encoder.context).width;
        (*pointer).height = (*encoder.context).height;
        (*pointer).format = ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as c_int;
        (*pointer).quality = (*encoder.context).global_quality;
        (*pointer).pts = 0;
        check(ffi::av_frame_get_buffer(pointer, 0), "making a still")?;
    }
    for (index, plane) in picture.planes.iter().enumerate() {
        let row_px = if index == 0 { picture.width_px } else { picture.width_px / 2 };
        // SAFETY: the buffer was made for this size and format.
        let (data, stride) = unsafe { ((*pointer).data[index], (*pointer).linesize[index]) };
        for (row, line) in plane.chunks_exact(row_px.max(1)).enumerate() {
            let offset = isize::try_from(row).unwrap_or(0) * isize::try_from(stride).unwrap_or(0);
            // SAFETY: each row of the buffer has room for `row_px` bytes.
            unsafe { ptr::copy_nonoverlapping(line.as_ptr(), data.offset(offset), line.len()) };
        }
    }
    encoder.encode(&frame)
}

struct Encoder {
    context: *mut ffi::AVCodecContext,
}

impl Encoder {
    fn open(picture: &Planes, quantiser: u8) -> Result<Self, MediaError> {
        // SAFETY: the name is zero-terminated; the result is checked.
        let codec = unsafe { ffi::avcodec_find_encoder_by_name(c"mjpeg".as_ptr()) };
        if codec.is_null() {
            return Err(MediaError::Internal("encoder mjpeg is missing".into()));
        }
        // SAFETY: the codec is static; the result is checked.
        let context = allocated(unsafe { ffi::avcodec_alloc_context3(codec) }, "an encoder")?;
        let encoder = Self { context };
        let edge = |edge_px: usize| c_int::try_from(edge_px).unwrap_or(c_int::MAX);
        let mut options = Options::new(&[("threads", "1")]);
        // SAFETY: the context is valid and not yet open.
        let code = unsafe {
            (*context).width = edge(picture.width_px);
            (*context).height = edge(picture.height_px);
            (*context).pix_fmt = ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P;
            (*context).color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG;
            (*context).time_base = ffi::AVRational { num: 1, den: 25 };
            (*context).sample_aspect_ratio = ffi::AVRational { num: 1, den: 1 };
            // Without bit-exactness a comment carries the library's version.
            (*context).flags |= (ffi::AV_CODEC_FLAG_QSCALE | ffi::AV_CODEC_FLAG_BITEXACT) as c_int;
            (*context).global_quality = QP_TO_LAMBDA * c_int::from(quantiser.clamp(1, 31));
            ffi::avcodec_open2(context, codec, options.as_mut_ptr())
        };
        check(code, &format!("opening mjpeg for {}x{} pixels", picture.width_px, picture.height_px))?;
        Ok(encoder)
    }

    fn encode(&mut self, frame: &Frame) -> Result<Vec<u8>, MediaError> {
        let mut packet = Packet::new()?;
        // SAFETY: all are valid; a null frame means the end.
        unsafe {
            check(ffi::avcodec_send_frame(self.context, frame.as_ptr()), "encoding a still")?;
            check(ffi::avcodec_send_frame(self.context, ptr::null()), "encoding a still")?;
            check(ffi::avcodec_receive_packet(self.context, packet.as_mut_ptr()), "encoding a still")?;
        }
        Ok(packet.data().to_vec())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the context came from `avcodec_alloc_context3` and is freed once.
        unsafe { ffi::avcodec_free_context(&raw mut self.context) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_lands_in_all_planes() {
        let mut sheet = Planes::black(4, 4);
        let tile = Planes { width_px: 2, height_px: 2, planes: [vec![1, 2, 3, 4], vec![5], vec![6]] };
        sheet.paste(&tile, 2, 2);
        assert_eq!(sheet.planes[0][8..], [0, 0, 1, 2, 0, 0, 3, 4]);
        assert_eq!((&sheet.planes[1][..], &sheet.planes[2][..]), (&[128, 128, 128, 5][..], &[128, 128, 128, 6][..]));
    }

    #[test]
    fn a_still_is_a_jpeg_that_repeats_its_bytes() {
        let picture = Planes::black(64, 32);
        let jpeg = encode_jpeg(&picture, 3).unwrap();
        assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]), "{} bytes", jpeg.len());
        assert_eq!(encode_jpeg(&picture, 3).unwrap(), jpeg);
    }
}
