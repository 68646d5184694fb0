//! Pictures through a short libavfilter chain, one in and one out: turning, and zimg's Lanczos scaling.

use std::ffi::{CString, c_int};
use std::ptr;

use ffmpeg_next::ffi;
use mcsp_domain::{Colour, Orientation};

use super::{Frame, allocated, check};
use crate::error::MediaError;

/// What a chain was built for; frames of another shape need another chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    size_px: (i32, i32),
    format: c_int,
}

/// A chain that follows its input's shape.
pub(crate) struct Graph {
    chain: Chain,
    built: Option<(Shape, Built)>,
}

enum Chain {
    Turn(Orientation),
    Scale { width_px: u32, height_px: u32, colour: Colour },
    Still { width_px: u32, height_px: u32, colour: Colour },
}

impl Graph {
    /// Returns a chain that turns pictures upright.
    pub(crate) fn turn(orientation: Orientation) -> Self {
        Self { chain: Chain::Turn(orientation), built: None }
    }

    /// Returns a chain that makes pictures 8-bit 4:2:0 of the given size.
    pub(crate) fn scale(width_px: u32, height_px: u32, colour: Colour) -> Self {
        Self { chain: Chain::Scale { width_px, height_px, colour }, built: None }
    }

    /// Returns a chain that makes pictures what JPEG is made of: 8-bit 4:2:0 of full range and BT.601's matrix.
    pub(crate) fn still(width_px: u32, height_px: u32, colour: Colour) -> Self {
        Self { chain: Chain::Still { width_px, height_px, colour }, built: None }
    }

    /// Passes one picture through, which keeps its time.
    pub(crate) fn run(&mut self, mut frame: Frame) -> Result<Frame, MediaError> {
        let shape = Shape { size_px: frame.size_px(), format: frame.format() };
        let Some(text) = self.chain.text(shape) else { return Ok(frame) };
        if self.built.as_ref().is_none_or(|(built, _)| *built != shape) {
            self.built = Some((shape, Built::new(shape, &text)?));
        }
        let Some((_, built)) = &mut self.built else { return Ok(frame) };
        let mut out = Frame::new()?;
        // SAFETY: all pointers are valid; the frame's data passes to the source of the chain.
        unsafe {
            check(ffi::av_buffersrc_add_frame(built.source, frame.as_mut_ptr()), "scaling a picture")?;
            check(ffi::av_buffersink_get_frame(built.sink, out.as_mut_ptr()), "scaling a picture")?;
        }
        Ok(out)
    }
}

impl Chain {
    /// Returns the chain in libavfilter's words, or nothing where the picture already fits.
    fn text(&self, shape: Shape) -> Option<String> {
        match self {
            Self::Turn(orientation) => {
                let turned = match orientation.quarter_turns % 4 {
                    0 => "",
                    1 => "transpose=clock,",
                    2 => "hflip,vflip,",
                    _ => "transpose=cclock,",
                };
                let mirrored = if orientation.mirrored { "hflip," } else { "" };
                let text = format!("{mirrored}{turned}");
                (!text.is_empty()).then_some(text)
            }
            Self::Scale { width_px, height_px, colour } => {
                let yuv420p = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
                let fits = |have: i32, wanted: u32| u32::try_from(have) == Ok(wanted);
                if shape.format == yuv420p && fits(shape.size_px.0, *width_px) && fits(shape.size_px.1, *height_px) {
                    return None;
                }
                let format = PixelFormat::of(shape.format);
                let dither = if format.bit_depth > 8 { ":dither=error_diffusion" } else { "" };
                // Only RGB changes its matrix here; everything else keeps its samples' meaning.
                let matrix =
                    if format.is_rgb { format!(":matrix={}:range=limited", colour.matrix) } else { String::new() };
                let coloured = format.coloured(*colour);
                Some(format!(
                    "{coloured}zscale=w={width_px}:h={height_px}:filter=lanczos{dither}{matrix},format=yuv420p,"
                ))
            }
            Self::Still { width_px, height_px, colour } => {
                let format = PixelFormat::of(shape.format);
                let coloured = format.coloured(*colour);
                // Untagged pictures are BT.709 from 720 lines on, as players take them (2 is "unspecified").
                let matrix_in = match colour.matrix {
                    _ if format.is_rgb => String::new(),
                    2 if shape.size_px.1 >= 720 => ":matrixin=709".to_owned(),
                    2 => ":matrixin=470bg".to_owned(),
                    matrix => format!(":matrixin={matrix}"),
                };
                // JFIF has BT.601's matrix at full range (ITU-T T.871 §7).
                Some(format!(
                    "{coloured}zscale=w={width_px}:h={height_px}:filter=bilinear{matrix_in}:matrix=470bg:range=full,format=yuv420p,"
                ))
            }
        }
    }
}

/// Makes a decoded picture's tags those of the job, so that no filter converts because of tags that changed on the way.
/// The full-range twins of formats become the formats themselves, with the same bytes, and a last odd row or column is
/// left out, since 4:2:0 pictures have none.
pub(crate) fn tag_picture(frame: &mut Frame, colour: Colour) {
    use ffi::AVPixelFormat::{
        AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUV422P, AV_PIX_FMT_YUV444P, AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUVJ422P,
        AV_PIX_FMT_YUVJ444P,
    };
    let twins = [
        (AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P),
        (AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P),
        (AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P),
    ];
    let PixelFormat { is_rgb, chroma_px: (chroma_width, chroma_height), .. } = PixelFormat::of(frame.format());
    let (width, height) = frame.size_px();
    let format = frame.format();
    let format = twins.iter().find(|(full, _)| *full as c_int == format).map_or(format, |(_, plain)| *plain as c_int);
    let full_range = colour.full_range || is_rgb;
    // 1 is limited and 2 is full range, libavutil/pixfmt.h.
    let range = if full_range { 2 } else { 1 };
    let matrix = if is_rgb { 0 } else { c_int::from(colour.matrix) };
    let pointer = frame.as_mut_ptr();
    // SAFETY: the frame is valid; the fields have the size of a C int and take the code points that libav knows.
    unsafe {
        (*pointer).format = format;
        (*pointer).width = width - width % chroma_width.max(2);
        (*pointer).height = height - height % chroma_height.max(2);
        ptr::addr_of_mut!((*pointer).color_range).cast::<c_int>().write(range);
        ptr::addr_of_mut!((*pointer).color_primaries).cast::<c_int>().write(colour.primaries.into());
        ptr::addr_of_mut!((*pointer).color_trc).cast::<c_int>().write(colour.transfer.into());
        ptr::addr_of_mut!((*pointer).colorspace).cast::<c_int>().write(matrix);
        (*pointer).sample_aspect_ratio = ffi::AVRational { num: 1, den: 1 };
    }
}

/// What a pixel format's number means.
pub(super) struct PixelFormat {
    /// Its name.
    pub(super) name: String,
    /// Bits of a luma sample.
    pub(super) bit_depth: u8,
    /// Whether its planes are red, green and blue.
    pub(super) is_rgb: bool,
    /// Whether it has luma alone.
    is_grey: bool,
    /// Luma pixels for each chroma sample, across and down.
    chroma_px: (c_int, c_int),
}

impl PixelFormat {
    /// zimg takes no grey pictures into 4:2:0; beside grey planes, chroma planes of one value cost little.
    fn coloured(&self, colour: Colour) -> String {
        let range = if colour.full_range { "full" } else { "limited" };
        let planes = if self.bit_depth > 8 { "yuv420p10le" } else { "yuv420p" };
        match self.is_grey {
            true => format!("scale=in_range={range}:out_range={range},format={planes},"),
            false => String::new(),
        }
    }

    /// Returns the meaning of a format's number; an unknown one has no name.
    pub(super) fn of(format: c_int) -> Self {
        let unknown = Self { name: String::new(), bit_depth: 8, is_rgb: false, is_grey: false, chroma_px: (1, 1) };
        if format < 0 || format >= ffi::AVPixelFormat::AV_PIX_FMT_NB as c_int {
            return unknown;
        }
        // SAFETY: the enum counts from 0 to `NB` without a gap; descriptors are static and their names zero-terminated.
        unsafe {
            let format = std::mem::transmute::<c_int, ffi::AVPixelFormat>(format);
            let Some(descriptor) = ffi::av_pix_fmt_desc_get(format).as_ref() else { return unknown };
            Self {
                name: std::ffi::CStr::from_ptr(descriptor.name).to_string_lossy().into_owned(),
                bit_depth: u8::try_from(descriptor.comp[0].depth).unwrap_or(u8::MAX),
                is_rgb: descriptor.flags & ffi::AV_PIX_FMT_FLAG_RGB as u64 != 0,
                is_grey: descriptor.nb_components <= 2,
                chroma_px: (1 << descriptor.log2_chroma_w.min(4), 1 << descriptor.log2_chroma_h.min(4)),
            }
        }
    }
}

struct Built {
    graph: *mut ffi::AVFilterGraph,
    source: *mut ffi::AVFilterContext,
    sink: *mut ffi::AVFilterContext,
}

// SAFETY: the graph is owned by this value alone and runs on the thread that calls it.
unsafe impl Send for Built {}

impl Built {
    fn new(shape: Shape, chain: &str) -> Result<Self, MediaError> {
        // SAFETY: no argument; the result is checked.
        let graph = allocated(unsafe { ffi::avfilter_graph_alloc() }, "a filter graph")?;
        let mut built = Self { graph, source: ptr::null_mut(), sink: ptr::null_mut() };
        let ((width, height), format) = (shape.size_px, shape.format);
        let source = format!("buffer@in=width={width}:height={height}:pix_fmt={format}:time_base=1/1:sar=1/1");
        let text = CString::new(format!("{source},{chain}buffersink@out")).unwrap_or_default();
        let (mut inputs, mut outputs) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the graph is valid, the texts are zero-terminated; the two lists are ours to free, and empty here.
        unsafe {
            (*graph).nb_threads = 1;
            let code = ffi::avfilter_graph_parse2(graph, text.as_ptr(), &raw mut inputs, &raw mut outputs);
            ffi::avfilter_inout_free(&raw mut inputs);
            ffi::avfilter_inout_free(&raw mut outputs);
            check(code, "building a filter chain")?;
            check(ffi::avfilter_graph_config(graph, ptr::null_mut()), "joining a filter chain")?;
            built.source = ffi::avfilter_graph_get_filter(graph, c"buffer@in".as_ptr().cast_mut());
            built.sink = ffi::avfilter_graph_get_filter(graph, c"buffersink@out".as_ptr().cast_mut());
        }
        if built.source.is_null() || built.sink.is_null() {
            return Err(MediaError::Internal("filter chain has no ends".into()));
        }
        Ok(built)
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        // SAFETY: the graph is ours and freed once, with its filters.
        unsafe { ffi::avfilter_graph_free(&raw mut self.graph) };
    }
}
