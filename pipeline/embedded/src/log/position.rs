//! Topic, partition and offset in one SQLite row id: 12, 10 and 41 bits, so that a partition's records lie side by side.

use mcsp_domain::limits::PARTITIONS_MAX;

/// Topics of one log, dead letters' included.
pub(super) const TOPICS_MAX: i64 = (1 << 12) - 1;
/// Bits of an offset: a partition takes 20,000 events a second for three years.
const OFFSET_BITS: u32 = 41;
/// Bits of a partition.
const PARTITION_BITS: u32 = 10;
const _: () = assert!(PARTITIONS_MAX == 1 << PARTITION_BITS);

/// The offset that no record reaches.
pub(super) const OFFSET_END: u64 = (1 << OFFSET_BITS) - 1;

/// A partition of a topic, by the topic's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) topic: i64,
    pub(super) part: u32,
}

impl Part {
    /// Returns the row id of an offset.
    pub(super) fn row(self, offset: u64) -> i64 {
        assert!((0..=TOPICS_MAX).contains(&self.topic), "topic numbers are checked when topics are made");
        assert!(self.part < PARTITIONS_MAX, "partitions are checked when topics are made");
        assert!(offset <= OFFSET_END, "offset {offset} is beyond what a partition holds");
        (self.topic << (PARTITION_BITS + OFFSET_BITS)) | (i64::from(self.part) << OFFSET_BITS) | offset.cast_signed()
    }

    /// Returns the row id that every record of the partition is below.
    pub(super) fn end(self) -> i64 {
        self.row(OFFSET_END)
    }

    /// Returns partition and offset of a row id.
    pub(super) fn of_row(row: i64) -> (Self, u64) {
        let offset = row.cast_unsigned() & OFFSET_END;
        let part = (row.cast_unsigned() >> OFFSET_BITS) & u64::from(PARTITIONS_MAX - 1);
        let topic = row >> (PARTITION_BITS + OFFSET_BITS);
        (Self { topic, part: u32::try_from(part).unwrap_or(0) }, offset)
    }
}

/// Reads an offset that a column holds.
pub(super) fn offset(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

/// Reads a partition that a column holds.
pub(super) fn partition(column: i64) -> u32 {
    u32::try_from(column).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_give_back_what_they_hold(topic in 0..=TOPICS_MAX, part in 0..PARTITIONS_MAX, offset in 0..=OFFSET_END) {
            let part = Part { topic, part };
            prop_assert_eq!(Part::of_row(part.row(offset)), (part, offset));
            prop_assert!(part.row(offset) >= 0 && part.row(offset) <= part.end());
        }
    }

    #[test]
    fn partitions_follow_each_other() {
        let (low, high) = (Part { topic: 1, part: 1023 }, Part { topic: 2, part: 0 });
        assert!(low.end() < high.row(0));
    }
}
