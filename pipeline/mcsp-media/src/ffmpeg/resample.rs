//! Audio into planar floats of one or two channels, and from one sample rate to another.

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi;

use super::{Frame, check, error_text};
use crate::error::MediaError;

const PLANAR_FLOAT: ffi::AVSampleFormat = ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP;

/// An owned `SwrContext`.
struct Resampler {
    context: *mut ffi::SwrContext,
}

// SAFETY: the context is owned by this value alone.
unsafe impl Send for Resampler {}

impl Drop for Resampler {
    fn drop(&mut self) {
        // SAFETY: the context came from `swr_alloc_set_opts2` and is freed once.
        unsafe { ffi::swr_free(&raw mut self.context) };
    }
}

/// One end of a conversion.
struct End<'a> {
    layout: &'a ffi::AVChannelLayout,
    format: ffi::AVSampleFormat,
    rate_hz: c_int,
}

impl Resampler {
    fn new(from: &End<'_>, to: &End<'_>) -> Result<Self, MediaError> {
        let mut context = ptr::null_mut();
        // SAFETY: layouts are valid for the call, which only reads them; the result is checked.
        let code = unsafe {
            ffi::swr_alloc_set_opts2(
                &raw mut context,
                ptr::from_ref(to.layout).cast_mut(),
                to.format,
                to.rate_hz,
                ptr::from_ref(from.layout).cast_mut(),
                from.format,
                from.rate_hz,
                0,
                ptr::null_mut(),
            )
        };
        let resampler = Self { context };
        check(code, "setting up a resampler")?;
        Ok(resampler)
    }

    /// Converts `count` samples of each channel behind `planes`; `room` bounds what may come out.
    ///
    /// # Safety
    /// `planes` points at as many planes as the input format has, each of `count` samples.
    unsafe fn convert(
        &mut self,
        planes: *mut *const u8,
        count: c_int,
        room: usize,
        channel_count: usize,
    ) -> Result<Vec<Vec<f32>>, MediaError> {
        let mut out = vec![vec![0f32; room]; channel_count];
        let mut pointers: Vec<*mut u8> = out.iter_mut().map(|plane| plane.as_mut_ptr().cast()).collect();
        let room = c_int::try_from(room).unwrap_or(c_int::MAX);
        // SAFETY: the output planes have room for that many floats, and the input is as promised by the caller.
        let got = unsafe { ffi::swr_convert(self.context, pointers.as_mut_ptr(), room, planes, count) };
        let got = usize::try_from(check(got, "resampling")?).unwrap_or(0);
        out.iter_mut().for_each(|plane| plane.truncate(got));
        Ok(out)
    }
}

fn default_layout(channel_count: usize) -> ffi::AVChannelLayout {
    // SAFETY: an all-zero layout is a valid, empty one, which the call fills.
    unsafe {
        let mut layout = std::mem::zeroed();
        ffi::av_channel_layout_default(&raw mut layout, c_int::try_from(channel_count).unwrap_or(0));
        layout
    }
}

/// Turns decoded frames of any layout and format into planar floats of one or two channels, sample for sample.
pub(crate) struct Mixer {
    channel_count: usize,
    built: Option<(Input, Resampler)>,
}

/// What a mixer was built for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Input {
    format: c_int,
    channel_count: c_int,
    /// The speakers of a native layout, else 0.
    mask: u64,
}

impl Mixer {
    /// Returns a mixer down or up to `channel_count` channels.
    pub(crate) fn new(channel_count: u8) -> Self {
        Self { channel_count: usize::from(channel_count.clamp(1, 2)), built: None }
    }

    /// Mixes one frame; as many samples come out as are in it.
    pub(crate) fn mix(&mut self, frame: &Frame) -> Result<Vec<Vec<f32>>, MediaError> {
        let pointer = frame.as_ptr();
        // SAFETY: the frame is valid and a decoder filled it; a native layout keeps its mask in the union.
        let input = unsafe {
            let layout = &(*pointer).ch_layout;
            let native = layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE;
            Input {
                format: (*pointer).format,
                channel_count: layout.nb_channels,
                mask: if native { layout.u.mask } else { 0 },
            }
        };
        if self.built.as_ref().is_none_or(|(built, _)| *built != input) {
            self.built = Some((input, self.build(frame, input)?));
        }
        let count = frame.sample_count();
        let Some((_, resampler)) = &mut self.built else { return Ok(Vec::new()) };
        let room = usize::try_from(count).unwrap_or(0);
        let count = c_int::try_from(count).unwrap_or(0);
        // SAFETY: a decoded frame has a plane for each channel, or one, of `nb_samples`, as its format says.
        let mixed = unsafe { resampler.convert((*pointer).extended_data.cast(), count, room, self.channel_count)? };
        Ok(mixed)
    }

    fn build(&self, frame: &Frame, input: Input) -> Result<Resampler, MediaError> {
        let channels = usize::try_from(input.channel_count).unwrap_or(0);
        if input.format < 0 || input.format >= ffi::AVSampleFormat::AV_SAMPLE_FMT_NB as c_int {
            return Err(MediaError::Unsupported(format!("sample format {} is unknown", input.format)));
        }
        // SAFETY: the enum counts from 0 to `NB` without a gap.
        let format = unsafe { std::mem::transmute::<c_int, ffi::AVSampleFormat>(input.format) };
        let (fallback, to_layout) = (default_layout(channels), default_layout(self.channel_count));
        // SAFETY: the frame is valid as long as it is borrowed.
        let of_frame = unsafe { &(*frame.as_ptr()).ch_layout };
        let layout = if input.mask == 0 { &fallback } else { of_frame };
        // The rate only has to be the same on both ends.
        let rate_hz = c_int::try_from(frame.sample_rate_hz().max(1)).unwrap_or(c_int::MAX);
        let from = End { layout, format, rate_hz };
        let to = End { layout: &to_layout, format: PLANAR_FLOAT, rate_hz };
        let resampler = Resampler::new(&from, &to)?;
        // SAFETY: the context is valid and not yet initialised; names and the matrix are as long as the calls read.
        let code = unsafe {
            // The sum of what is mixed into one channel never passes full scale.
            ffi::av_opt_set_double(resampler.context.cast(), c"rematrix_maxval".as_ptr(), 1.0, 0);
            if channels == 1 {
                // One voice sounds from both sides as loud as it was.
                ffi::swr_set_matrix(resampler.context, [1.0f64, 1.0].as_ptr(), 1);
            }
            ffi::swr_init(resampler.context)
        };
        if code < 0 {
            let text = error_text(code);
            return Err(MediaError::Unsupported(format!("audio of {channels} channels cannot be mixed: {text}")));
        }
        Ok(resampler)
    }
}

/// Changes the sample rate of planar floats. The first sample out is the first one in, and the filter's phase is that of
/// this instant: two converters that start a whole number of periods apart agree once their filters are full.
pub(crate) struct RateConverter {
    resampler: Resampler,
    channel_count: usize,
    from_hz: u32,
    to_hz: u32,
}

impl RateConverter {
    /// Returns a converter.
    pub(crate) fn new(channel_count: usize, from_hz: u32, to_hz: u32) -> Result<Self, MediaError> {
        let layout = default_layout(channel_count);
        let rate = |hz: u32| c_int::try_from(hz).unwrap_or(c_int::MAX);
        let from = End { layout: &layout, format: PLANAR_FLOAT, rate_hz: rate(from_hz) };
        let to = End { layout: &layout, format: PLANAR_FLOAT, rate_hz: rate(to_hz) };
        let resampler = Resampler::new(&from, &to)?;
        // SAFETY: the context is valid and not yet initialised.
        check(unsafe { ffi::swr_init(resampler.context) }, "starting a resampler")?;
        Ok(Self { resampler, channel_count, from_hz, to_hz })
    }

    /// Converts samples of all channels; what comes out lags behind by the filter's half length.
    pub(crate) fn convert(&mut self, planes: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, MediaError> {
        let count = planes.iter().map(Vec::len).min().unwrap_or(0);
        assert!(planes.len() == self.channel_count, "{} planes for {} channels", planes.len(), self.channel_count);
        // SAFETY: the context is valid and initialised.
        let held = unsafe { ffi::swr_get_delay(self.resampler.context, i64::from(self.from_hz)) };
        let waiting = u64::try_from(held).unwrap_or(0) + count as u64;
        let room = waiting * u64::from(self.to_hz) / u64::from(self.from_hz.max(1)) + 32;
        let mut pointers: Vec<*const u8> = planes.iter().map(|plane| plane.as_ptr().cast()).collect();
        let (count, room) = (c_int::try_from(count).unwrap_or(0), usize::try_from(room).unwrap_or(0));
        // SAFETY: there is a plane for each channel, each of at least `count` floats.
        unsafe { self.resampler.convert(pointers.as_mut_ptr(), count, room, self.channel_count) }
    }
}
