//! Writes boxes (ISO/IEC 14496-12 §4.2): sizes are patched in when the body is known. In: values. Out: bytes in a `Vec`.

/// Appends boxes to a borrowed buffer, so that callers choose which buffer is reused.
pub struct BoxWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> BoxWriter<'a> {
    /// Writes behind what `out` holds already.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Writes a box around what `body` writes, and returns what `body` returns.
    ///
    /// # Panics
    /// If the box reaches 4 GiB: of ours only `mdat` could, and its header is written by itself.
    pub fn boxed<R>(&mut self, name: [u8; 4], body: impl FnOnce(&mut Self) -> R) -> R {
        let start = self.out.len();
        self.u32(0);
        self.bytes(&name);
        let result = body(self);
        let Ok(size) = u32::try_from(self.out.len() - start) else { panic!("a box of 4 GiB") };
        self.patch_u32(start, size);
        result
    }

    /// Writes a box with version and flags (§4.2.2, `FullBox`).
    pub fn full_box<R>(&mut self, name: [u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self) -> R) -> R {
        self.boxed(name, |w| {
            w.u32(u32::from(version) << 24 | flags);
            body(w)
        })
    }

    /// Returns the number of bytes in the buffer.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Overwrites four bytes written before.
    pub fn patch_u32(&mut self, at: usize, value: u32) {
        if let Some(field) = self.out.get_mut(at..at + 4) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends `count` zero bytes, which reserved fields want.
    pub fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len() + count, 0);
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Appends two bytes.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends four bytes, two's complement.
    pub fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends eight bytes, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_patched_from_the_inside_out() {
        let mut out = vec![0xff];
        BoxWriter::new(&mut out).boxed(*b"abcd", |w| w.full_box(*b"efgh", 1, 2, |w| w.u16(3)));
        assert_eq!(out, b"\xff\0\0\0\x16abcd\0\0\0\x0eefgh\x01\0\0\x02\0\x03");
    }
}
