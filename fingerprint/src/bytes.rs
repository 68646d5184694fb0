//! Little-endian values out of stored bytes, which are treated as hostile: every read is checked, nothing is allocated that
//! the bytes do not hold.

use crate::FingerprintError;

/// Reads stored bytes front to back.
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which errors name by `what`.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// Returns the next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FingerprintError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.short(N))?;
        self.rest = rest;
        Ok(*head)
    }

    /// Returns the next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], FingerprintError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.short(count))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FingerprintError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FingerprintError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FingerprintError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Returns a count of things that take `each_bytes` each, no more than the bytes left can hold.
    pub(crate) fn count(&mut self, each_bytes: usize) -> Result<usize, FingerprintError> {
        let count = self.u32()?;
        let held = usize::try_from(count).ok().filter(|count| {
            let needed = count.checked_mul(each_bytes);
            needed.is_some_and(|needed| needed <= self.rest.len())
        });
        held.ok_or_else(|| {
            let left = self.rest.len();
            FingerprintError::broken(self.what, format!("{count} entries of {each_bytes} bytes in {left} bytes"))
        })
    }

    /// Refuses the version of other bytes than ours.
    pub(crate) fn version(&mut self, known: u32) -> Result<(), FingerprintError> {
        let version = self.u32()?;
        if version == known {
            return Ok(());
        }
        Err(FingerprintError::Version { what: self.what, version, known })
    }

    /// Refuses bytes that do not begin with `magic`.
    pub(crate) fn magic(&mut self, magic: [u8; 8]) -> Result<(), FingerprintError> {
        if self.array()? == magic {
            return Ok(());
        }
        Err(FingerprintError::broken(self.what, "it does not begin as one"))
    }

    /// Returns what is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Refuses bytes after the end.
    pub(crate) fn end(self) -> Result<(), FingerprintError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(FingerprintError::broken(self.what, format!("{} bytes after its end", self.rest.len())))
    }

    fn short(&self, wanted: usize) -> FingerprintError {
        FingerprintError::broken(self.what, format!("{wanted} bytes expected, {} left", self.rest.len()))
    }
}

/// Returns a length of ours as the 32 bits it is stored in.
pub(crate) fn stored_count(count: usize) -> u32 {
    assert!(u32::try_from(count).is_ok(), "counts are bounded below 2^32 before they are stored");
    u32::try_from(count).unwrap_or(u32::MAX)
}
