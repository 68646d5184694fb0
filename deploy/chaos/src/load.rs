//! The load of a fault run: numbered contents whose fate follows from the seed, so that the right outcome is known before.

use mcsp_domain::{Bucket, ContentId, ObjectKey, Placement, PlanId, Revision, SessionId, Tier, UserId};
use mcsp_events::{Asset, Event, Message, Outgoing, Seal, SourceObject, UploadInitiated};
use sha2::{Digest, Sha256};

/// Chunks of every content.
pub(crate) const CHUNKS: u32 = 3;
/// Bytes of one chunk's object.
pub(crate) const CHUNK_BYTES: usize = 4096;

/// What befalls one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes through at once.
    Good,
    /// It fails twice before it goes through.
    Flaky,
    /// It is rejected.
    Bad,
}

/// The run's contents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) count: u32,
}

impl Load {
    /// Returns the fate of a content.
    pub(crate) fn fate(self, number: u32) -> Fate {
        match self.hash(b"fate", number, 0)[0] {
            0..=9 => Fate::Bad,
            10..=40 => Fate::Flaky,
            _ => Fate::Good,
        }
    }

    /// Returns the contents that must come through.
    pub(crate) fn good(self) -> impl Iterator<Item = u32> {
        (0..self.count).filter(move |number| self.fate(*number) != Fate::Bad)
    }

    /// Returns the bytes of a chunk's object.
    pub(crate) fn chunk(self, number: u32, chunk: u32) -> Vec<u8> {
        let digest = self.hash(b"chunk", number, chunk);
        digest.iter().copied().cycle().take(CHUNK_BYTES).collect()
    }

    /// Returns how long a worker pretends to work on a chunk, in milliseconds.
    pub(crate) fn work_ms(self, number: u32, chunk: u32) -> u64 {
        u64::from(self.hash(b"work", number, chunk)[0] % 16)
    }

    /// Returns the event that starts a content.
    pub(crate) fn upload(self, number: u32) -> anyhow::Result<Message> {
        let event = UploadInitiated {
            asset: asset(number)?,
            owner: UserId::new(1, &numbered(number)),
            session: SessionId::new(1, &numbered(number)),
            source: source()?,
            file_name: format!("{:?}", self.fate(number)),
            title: String::new(),
        };
        let seal = Seal { source: "chaos", now_us: mcsp_runtime::now_us(), ..Seal::default() };
        Ok(Outgoing::once(event.key().as_bytes(), "upload", &event).seal(&seal)?)
    }

    fn hash(self, what: &[u8], number: u32, chunk: u32) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.seed.to_be_bytes());
        hasher.update(what);
        hasher.update(number.to_be_bytes());
        hasher.update(chunk.to_be_bytes());
        hasher.finalize().into()
    }
}

/// Returns the number in a content's id.
pub(crate) fn number(content: ContentId) -> u32 {
    let bytes = content.as_bytes();
    u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
}

/// Returns the plan of a content: one each.
pub(crate) fn plan(number: u32) -> PlanId {
    PlanId::new(2, &numbered(number))
}

/// Returns the key of a chunk's object.
pub(crate) fn chunk_key(number: u32, chunk: u32) -> anyhow::Result<ObjectKey> {
    Ok(ObjectKey::parse(&format!("chunks/{number:06}/{chunk}"))?)
}

pub(crate) fn source() -> anyhow::Result<SourceObject> {
    Ok(SourceObject { key: ObjectKey::parse("uploads/none")?, etag: "none".to_owned(), len_bytes: 0 })
}

fn asset(number: u32) -> anyhow::Result<Asset> {
    Ok(Asset {
        content: ContentId::new(1, &numbered(number)),
        revision: Revision::FIRST,
        placement: Placement { region: "local".to_owned(), bucket: Bucket::parse("chaos")?, tier: Tier::Hot },
    })
}

/// Ids take ten bytes after the clock; the last four are kept as they are.
fn numbered(number: u32) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[6..].copy_from_slice(&number.to_be_bytes());
    bytes
}
