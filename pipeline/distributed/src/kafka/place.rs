//! A group's place in a partition, as its committed offset and the text beside it (`metadata`, 4096 bytes at most): the
//! epoch in which it was written, a token of the transaction that wrote it, and which offsets ahead are settled already.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rdkafka::topic_partition_list::TopicPartitionListElem;

use super::group_state::Replay;

/// Offsets ahead of the committed one that the text beside it can tell of: 2,500 bytes, which are 3,334 in base 64.
pub(super) const AHEAD_MAX: u64 = 20_000;

/// A group's place in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Everything below is settled.
    pub(super) committed: u64,
    /// The group's epoch when it was written.
    pub(super) epoch: u64,
    /// Drawn by the transaction that wrote it.
    pub(super) token: u64,
    /// Settled ahead of `committed`.
    pub(super) settled: BTreeSet<u64>,
}

impl Place {
    /// Reads what was committed; nothing where nothing was.
    pub(super) fn read(elem: &TopicPartitionListElem<'_>) -> Option<Self> {
        let committed = elem.offset().to_raw().and_then(|offset| u64::try_from(offset).ok())?;
        Some(Self::parse(committed, elem.metadata()))
    }

    /// Takes the text beside an offset apart; a text of others tells nothing.
    fn parse(committed: u64, text: &str) -> Self {
        let mut place = Self { committed, ..Self::default() };
        let mut parts = text.split('.');
        let (Some(epoch), Some(token), Some(bits)) = (parts.next(), parts.next(), parts.next()) else { return place };
        let (Ok(epoch), Ok(token)) = (epoch.parse(), u64::from_str_radix(token, 16)) else { return place };
        let Ok(bytes) = STANDARD_NO_PAD.decode(bits) else { return place };
        (place.epoch, place.token) = (epoch, token);
        for (byte, first) in bytes.iter().zip((committed + 1..).step_by(8)) {
            place.settled.extend((0..8).filter(|bit| byte & (1 << bit) != 0).map(|bit| first + bit));
        }
        place
    }

    /// Returns the text beside the offset.
    pub(super) fn text(&self) -> String {
        let mut bytes = Vec::new();
        for offset in self.settled.range(self.committed + 1..) {
            let ahead = offset - self.committed - 1;
            assert!(ahead < AHEAD_MAX, "offset {offset} is settled {ahead} ahead of what is committed");
            let index = usize::try_from(ahead / 8).unwrap_or(usize::MAX);
            if bytes.len() <= index {
                bytes.resize(index + 1, 0_u8);
            }
            bytes[index] |= 1 << (ahead % 8);
        }
        format!("{}.{:x}.{}", self.epoch, self.token, STANDARD_NO_PAD.encode(bytes))
    }

    /// Moves behind what is settled at the place itself.
    pub(super) fn advance(&mut self) {
        while self.settled.remove(&self.committed) {
            self.committed += 1;
        }
        self.settled = self.settled.split_off(&self.committed);
    }

    /// Returns the place that counts: a replay that came after it was written sets it elsewhere.
    pub(super) fn after(self, replay: Option<&Replay>) -> Self {
        match replay.filter(|replay| replay.epoch > self.epoch) {
            Some(replay) => Self { committed: replay.offset, epoch: replay.epoch, ..Self::default() },
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through_text(place: &Place) -> Place {
        Place::parse(place.committed, &place.text())
    }

    #[test]
    fn text_gives_back_what_was_settled() {
        for settled in [vec![], vec![8], vec![8, 9, 15, 16, 17, 400], vec![7 + AHEAD_MAX]] {
            let settled = BTreeSet::from_iter(settled);
            let place = Place { committed: 7, epoch: 3, token: 0xabc, settled };
            assert_eq!(through_text(&place), place);
            assert!(place.text().len() < 4000, "{} bytes", place.text().len());
        }
        assert_eq!(Place::parse(5, "of somebody else"), Place { committed: 5, ..Place::default() });
        assert_eq!(Place::parse(5, ""), Place { committed: 5, ..Place::default() });
    }

    #[test]
    fn a_later_replay_counts() {
        let place = Place { committed: 9, epoch: 2, token: 1, settled: BTreeSet::from([11]) };
        let replay = |epoch| Replay { epoch, offset: 4 };
        assert_eq!(place.clone().after(Some(&replay(2))), place, "it was written after that replay");
        let set_back = Place { committed: 4, epoch: 3, ..Place::default() };
        assert_eq!(place.after(Some(&replay(3))), set_back);
    }

    #[test]
    fn a_place_moves_behind_what_is_settled() {
        let mut place = Place { committed: 5, settled: BTreeSet::from([3, 5, 6, 9]), ..Place::default() };
        place.advance();
        assert_eq!((place.committed, place.settled), (7, BTreeSet::from([9])));
    }
}
