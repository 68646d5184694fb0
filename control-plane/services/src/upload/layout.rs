//! How a file is cut into parts: equal parts but the last, of a size that follows from the file's alone, so that whoever
//! resumes an upload cuts it alike.

use mcsp_domain::limits::{UPLOAD_PART_BYTES_MAX, UPLOAD_PARTS_MAX};

/// Bytes of a part where the file asks for no larger one: four at once fill a fast line, and a lost one is soon sent again.
const PART_BYTES: u64 = 8 << 20;
/// What part sizes are a multiple of.
const PART_BYTES_STEP: u64 = 1 << 20;

/// How one file is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLayout {
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Bytes of each part but the last.
    pub part_bytes: u64,
    /// Parts; a file of one part goes up in one call.
    pub count: u32,
}

impl PartLayout {
    /// Cuts a file of at least one byte and at most `limits::SOURCE_LEN_BYTES_MAX`.
    pub fn of(size_bytes: u64) -> Self {
        let needed_bytes = size_bytes.div_ceil(UPLOAD_PARTS_MAX.into()).next_multiple_of(PART_BYTES_STEP);
        let part_bytes = needed_bytes.max(PART_BYTES);
        let count = u32::try_from(size_bytes.div_ceil(part_bytes)).unwrap_or(u32::MAX);
        assert!(count <= UPLOAD_PARTS_MAX && part_bytes <= UPLOAD_PART_BYTES_MAX, "a file beyond the limit was let in");
        Self { size_bytes, part_bytes, count }
    }

    /// Returns whether the file goes up in one call.
    pub fn is_single(&self) -> bool {
        self.count == 1
    }

    /// Returns offset and length of a part, by its number from 1.
    pub fn span(&self, number: u32) -> Option<(u64, u64)> {
        if !(1..=self.count).contains(&number) {
            return None;
        }
        let offset_bytes = u64::from(number - 1) * self.part_bytes;
        Some((offset_bytes, self.part_bytes.min(self.size_bytes - offset_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_domain::limits::{SOURCE_LEN_BYTES_MAX, UPLOAD_PART_BYTES_MIN};

    #[test]
    fn parts_cover_the_file_and_keep_the_limits() {
        for size_bytes in [1, PART_BYTES, PART_BYTES + 1, 83_886_080_000, 83_886_080_001, SOURCE_LEN_BYTES_MAX] {
            let layout = PartLayout::of(size_bytes);
            let mut covered_bytes = 0;
            for number in 1..=layout.count {
                let (offset_bytes, len_bytes) = layout.span(number).unwrap();
                assert_eq!(offset_bytes, covered_bytes);
                let is_last = number == layout.count;
                assert!(is_last || len_bytes == layout.part_bytes && len_bytes >= UPLOAD_PART_BYTES_MIN);
                covered_bytes += len_bytes;
            }
            assert_eq!(covered_bytes, size_bytes);
            assert_eq!((layout.span(0), layout.span(layout.count + 1)), (None, None));
        }
    }

    #[test]
    fn a_small_file_goes_up_in_one_call() {
        assert!(PartLayout::of(PART_BYTES).is_single());
        assert_eq!(PartLayout::of(PART_BYTES + 1).count, 2);
    }
}
