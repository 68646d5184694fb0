//! What stages tell while they work, for progress bars and event lines.

use mcsp_domain::RenditionName;

/// A sink of progress; it must not block.
pub type OnProgress<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// One step of progress.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The source is being read for its access points.
    Analysed {
        /// Thousandths of the whole.
        permille: u16,
    },
    /// A variant's encoder has moved on.
    Encoded {
        /// The variant.
        rendition: &'a RenditionName,
        /// Output seconds that are encoded.
        seconds: f64,
        /// Frames encoded in this chunk so far.
        frames: u64,
    },
    /// A segment is written.
    Packaged {
        /// Segments written so far, of all renditions.
        done: usize,
        /// All segments.
        total: usize,
    },
}
