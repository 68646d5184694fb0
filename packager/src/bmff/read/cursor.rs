//! Bounded access to foreign boxes: every field is asked for with `get`, every size is checked against what surrounds it.

use crate::bmff::{BmffError, FourCc};

/// A box: its name, where it begins in the file, and its payload, which lies within its parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxRef<'a> {
    pub(super) name: FourCc,
    pub(super) offset: u64,
    pub(super) payload: &'a [u8],
    payload_offset: u64,
}

impl<'a> BoxRef<'a> {
    /// Returns the boxes inside this one.
    pub(super) fn children(&self) -> Boxes<'a> {
        Boxes { bytes: self.payload, offset: self.payload_offset, top: false }
    }

    /// Returns the boxes that follow after `skip_bytes` of fields.
    pub(super) fn children_after(&self, skip_bytes: usize) -> Result<Boxes<'a>, BmffError> {
        let mut fields = self.fields();
        fields.skip(skip_bytes)?;
        let offset = self.payload_offset.saturating_add(skip_bytes as u64);
        Ok(Boxes { bytes: fields.bytes, offset, top: false })
    }

    /// Returns the one child of this name.
    pub(super) fn child(&self, name: [u8; 4]) -> Result<BoxRef<'a>, BmffError> {
        self.find(name)?.ok_or(BmffError::Missing { parent: self.name, name: FourCc(name) })
    }

    /// Returns the child of this name, if there is one; two are an error.
    pub(super) fn find(&self, name: [u8; 4]) -> Result<Option<BoxRef<'a>>, BmffError> {
        let mut found = None;
        for child in self.children() {
            let child = child?;
            if child.name.0 == name && found.replace(child).is_some() {
                return Err(BmffError::Duplicate { parent: self.name, name: child.name });
            }
        }
        Ok(found)
    }

    /// Returns a cursor over the payload as plain fields.
    pub(super) fn fields(&self) -> Fields<'a> {
        Fields { name: self.name, offset: self.offset, bytes: self.payload }
    }

    /// Returns the version, the flags and a cursor behind them (ISO/IEC 14496-12 §4.2.2).
    pub(super) fn full(&self) -> Result<(u8, u32, Fields<'a>), BmffError> {
        let mut fields = self.fields();
        let version = fields.u8()?;
        let flags = fields.uint(3)?;
        Ok((version, u32::try_from(flags).unwrap_or(0), fields))
    }
}

/// The boxes of a file or of a parent, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Boxes<'a> {
    bytes: &'a [u8],
    offset: u64,
    top: bool,
}

impl<'a> Boxes<'a> {
    /// Returns the boxes of a whole file, of which the last may have size 0: it runs to the end.
    pub(super) fn of_file(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, top: true }
    }

    fn read(&mut self) -> Result<BoxRef<'a>, BmffError> {
        let (offset, available_bytes) = (self.offset, self.bytes.len() as u64);
        let mut header = Fields { name: FourCc([0; 4]), offset, bytes: self.bytes };
        let dangling = |_| BmffError::Dangling { offset, available_bytes };
        let short_size = u64::from(header.u32().map_err(dangling)?);
        let name = FourCc(header.array().map_err(dangling)?);
        header.name = name;
        let (claimed_bytes, header_bytes) = match short_size {
            1 => (header.u64()?, 16),
            0 if self.top => (available_bytes, 8),
            size => (size, 8),
        };
        if claimed_bytes < header_bytes {
            return Err(BmffError::TooSmall { name, offset, claimed_bytes, header_bytes });
        }
        let past_end = || BmffError::PastEnd { name, offset, claimed_bytes, available_bytes };
        let size = usize::try_from(claimed_bytes).map_err(|_| past_end())?;
        let (whole, rest) = self.bytes.split_at_checked(size).ok_or_else(past_end)?;
        let payload = whole.get(if header_bytes == 16 { 16.. } else { 8.. }).ok_or_else(past_end)?;
        self.bytes = rest;
        self.offset = offset.saturating_add(claimed_bytes);
        Ok(BoxRef { name, offset, payload, payload_offset: offset.saturating_add(header_bytes) })
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxRef<'a>, BmffError>;

    /// Stops after the first error. A QuickTime parent may end in a 32-bit zero, which is no box.
    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() || (!self.top && self.bytes.len() < 8 && self.bytes.iter().all(|&byte| byte == 0)) {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.bytes = &[];
        }
        Some(item)
    }
}

/// A cursor over the fields of one box.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    name: FourCc,
    offset: u64,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Returns what is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Cuts the cursor down to `bytes`, which it has just passed.
    pub(super) fn truncate(&mut self, bytes: &'a [u8]) {
        self.bytes = bytes;
    }

    /// Takes the next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], BmffError> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            let (needed_bytes, available_bytes) = (count as u64, self.bytes.len() as u64);
            return Err(BmffError::Short { name: self.name, offset: self.offset, needed_bytes, available_bytes });
        };
        self.bytes = rest;
        Ok(taken)
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), BmffError> {
        self.take(count).map(|_| ())
    }

    /// Takes `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BmffError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Takes a big-endian number of `count` bytes, at most 8.
    pub(super) fn uint(&mut self, count: usize) -> Result<u64, BmffError> {
        Ok(self.take(count)?.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte)))
    }

    /// Takes one byte.
    pub(super) fn u8(&mut self) -> Result<u8, BmffError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes two bytes.
    pub(super) fn u16(&mut self) -> Result<u16, BmffError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, BmffError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes four bytes, two's complement.
    pub(super) fn i32(&mut self) -> Result<i32, BmffError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Takes eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, BmffError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes a count of entries, each of `entry_bytes`, and checks that they are there before anybody makes room for them.
    pub(super) fn counted(&mut self, entry_bytes: usize) -> Result<Entries<'a>, BmffError> {
        let claimed = u64::from(self.u32()?);
        self.entries(claimed, entry_bytes)
    }

    /// Returns the next `claimed` entries of `entry_bytes` each.
    pub(super) fn entries(&mut self, claimed: u64, entry_bytes: usize) -> Result<Entries<'a>, BmffError> {
        let held = (self.bytes.len() as u64).checked_div(entry_bytes as u64).unwrap_or(0);
        if claimed > held {
            return Err(BmffError::Count { name: self.name, claimed, held });
        }
        let count = usize::try_from(claimed).unwrap_or(0);
        let bytes = self.take(count.saturating_mul(entry_bytes))?;
        Ok(Entries { fields: Fields { name: self.name, offset: self.offset, bytes }, left: count })
    }
}

/// Entries known to be there: an iterator of cursors that all read on in the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    pub(super) fields: Fields<'a>,
    left: usize,
}

impl Entries<'_> {
    /// Returns how many entries are left.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// Counts one entry down; false when none is left.
    pub(super) fn advance(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }
}
