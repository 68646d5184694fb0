//! The luma samples of a decoded picture, whatever its layout, averaged over areas.

use ffmpeg_next::ffi;

use super::Frame;

/// A view of a picture's luma samples.
pub(crate) struct Luma<'a> {
    bytes: &'a [u8],
    stride_bytes: usize,
    /// From one sample to the next in a row.
    step_bytes: usize,
    /// How many bits a little-endian 16-bit sample has too many; `None` where samples are bytes.
    surplus_bits: Option<u32>,
    /// Width of the picture.
    pub(crate) width_px: usize,
    /// Height of the picture.
    pub(crate) height_px: usize,
}

/// Fractions of a source pixel that weights count in.
const WEIGHT: usize = 256;

impl Frame {
    /// Returns the picture's luma samples; nothing where its first plane holds something else, such as red.
    pub(crate) fn luma(&self) -> Option<Luma<'_>> {
        let (width, height) = self.size_px();
        let (width_px, height_px) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
        let foreign = ffi::AV_PIX_FMT_FLAG_RGB
            | ffi::AV_PIX_FMT_FLAG_PAL
            | ffi::AV_PIX_FMT_FLAG_BITSTREAM
            | ffi::AV_PIX_FMT_FLAG_HWACCEL
            | ffi::AV_PIX_FMT_FLAG_BE
            | ffi::AV_PIX_FMT_FLAG_FLOAT;
        let format = self.format();
        if width_px == 0 || height_px == 0 || !(0..ffi::AVPixelFormat::AV_PIX_FMT_NB as i32).contains(&format) {
            return None;
        }
        // SAFETY: the enum counts from 0 to `NB` without a gap; descriptors are static.
        let descriptor = unsafe {
            let format = std::mem::transmute::<i32, ffi::AVPixelFormat>(format);
            ffi::av_pix_fmt_desc_get(format).as_ref()?
        };
        let component = descriptor.comp[0];
        if descriptor.flags & u64::from(foreign.unsigned_abs()) != 0 || component.plane != 0 || component.offset != 0 {
            return None;
        }
        let (depth, shift) = (u32::try_from(component.depth).ok()?, u32::try_from(component.shift).ok()?);
        let surplus_bits = if depth + shift > 8 { Some((depth + shift).checked_sub(8)?) } else { None };
        let sample_bytes = if surplus_bits.is_some() { 2 } else { 1 };
        let step_bytes = usize::try_from(component.step).ok()?.max(1);
        // SAFETY: the frame is valid; a decoded picture of this format has its first plane, and `linesize` is its stride.
        let (data, stride) = unsafe { ((*self.as_ptr()).data[0], (*self.as_ptr()).linesize[0]) };
        let stride_bytes = usize::try_from(stride).ok().filter(|&stride| stride >= width_px * step_bytes)?;
        if data.is_null() || depth + shift > 16 {
            return None;
        }
        let len = (height_px - 1) * stride_bytes + (width_px - 1) * step_bytes + sample_bytes;
        // SAFETY: rows of `width` samples stand `stride` bytes apart, so the last sample ends at `len`; the view borrows the
        // frame, which keeps the plane.
        let bytes = unsafe { std::slice::from_raw_parts(data, len) };
        Some(Luma { bytes, stride_bytes, step_bytes, surplus_bits, width_px, height_px })
    }
}

impl Luma<'_> {
    /// Returns `width * height` means of equal areas, row-major; `full_range` tells how far the samples reach, and the
    /// means reach from 0 to 255.
    pub(crate) fn means(&self, width: usize, height: usize, full_range: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(width * height);
        let mut column_sums = vec![0u32; self.width_px];
        for row in 0..height {
            column_sums.fill(0);
            let (first, last) = span(row, height, self.height_px);
            for source in first / WEIGHT..=(last - 1) / WEIGHT {
                let weight = overlap(source, first, last);
                self.add_row(source, weight, &mut column_sums);
            }
            let row_weight = last - first;
            for column in 0..width {
                let (left, right) = span(column, width, self.width_px);
                let mut sum = 0u64;
                let columns = left / WEIGHT..=(right - 1) / WEIGHT;
                for (source, &value) in columns.clone().zip(column_sums.get(columns).unwrap_or_default()) {
                    sum += u64::from(value) * overlap(source, left, right) as u64;
                }
                out.push(expanded(sum, (row_weight * (right - left)) as u64, full_range));
            }
        }
        out
    }

    /// Adds a row of samples, cut to 8 bits, `weight` times.
    fn add_row(&self, row: usize, weight: usize, sums: &mut [u32]) {
        let bytes = self.bytes.get(row * self.stride_bytes..).unwrap_or_default();
        let weight = u32::try_from(weight).unwrap_or(0);
        match self.surplus_bits {
            None if self.step_bytes == 1 => {
                for (sum, &byte) in sums.iter_mut().zip(bytes) {
                    *sum += weight * u32::from(byte);
                }
            }
            None => {
                for (sum, &byte) in sums.iter_mut().zip(bytes.iter().step_by(self.step_bytes)) {
                    *sum += weight * u32::from(byte);
                }
            }
            Some(surplus) => {
                for (sum, sample) in sums.iter_mut().zip(bytes.chunks(self.step_bytes)) {
                    let value = u16::from_le_bytes([sample[0], sample.get(1).copied().unwrap_or(0)]);
                    *sum += weight * (u32::from(value) >> surplus).min(255);
                }
            }
        }
    }
}

/// Returns the half-open part of `size` pixels, in `WEIGHT`ths, that falls to part `index` of `count`; never empty.
fn span(index: usize, count: usize, size: usize) -> (usize, usize) {
    let (start, end) = (index * size * WEIGHT / count, (index + 1) * size * WEIGHT / count);
    let start = start.min(size * WEIGHT - 1);
    (start, end.max(start + 1))
}

/// Returns how much of a source pixel lies in a span.
fn overlap(pixel: usize, start: usize, end: usize) -> usize {
    end.min((pixel + 1) * WEIGHT).saturating_sub(start.max(pixel * WEIGHT))
}

/// Returns a mean as a full-range byte; limited luma is 16 to 235 (ITU-R BT.601 §2.5.1).
fn expanded(sum: u64, weight: u64, full_range: bool) -> u8 {
    let value = sum as f64 / weight.max(1) as f64;
    let value = if full_range { value } else { (value - 16.0) * 255.0 / 219.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 before")]
    let byte = value.round().clamp(0.0, 255.0) as u8;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luma(bytes: &[u8], width_px: usize, height_px: usize) -> Luma<'_> {
        Luma { bytes, stride_bytes: width_px, step_bytes: 1, surplus_bits: None, width_px, height_px }
    }

    #[test]
    fn areas_are_weighed_by_what_falls_into_them() {
        assert_eq!(luma(&[0, 100, 200, 40], 2, 2).means(1, 1, true), [85]);
        // Three columns into two: the middle one counts half on each side.
        assert_eq!(luma(&[0, 90, 240], 3, 1).means(2, 1, true), [30, 190]);
        // One column into two is that column twice.
        assert_eq!(luma(&[77], 1, 1).means(2, 2, true), [77; 4]);
    }

    #[test]
    fn limited_range_is_spread() {
        assert_eq!(luma(&[16, 235, 0, 255], 4, 1).means(4, 1, false), [0, 255, 0, 255]);
    }

    #[test]
    fn deeper_samples_are_cut_to_bytes() {
        let bytes: Vec<u8> = [0u16, 512, 1023].iter().flat_map(|value| value.to_le_bytes()).collect();
        let deep =
            Luma { bytes: &bytes, stride_bytes: 6, step_bytes: 2, surplus_bits: Some(2), width_px: 3, height_px: 1 };
        assert_eq!(deep.means(3, 1, true), [0, 128, 255]);
    }
}
