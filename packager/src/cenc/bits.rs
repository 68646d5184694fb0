//! A bounded reader of H.264 syntax elements, ITU-T H.264 §7.2 and §9.1. In: the bytes of a NAL unit, with their
//! emulation prevention bytes (§7.4.1). Out: values, and how many of those bytes were touched.

use super::CencError;

/// Reads bits from the front of one NAL unit.
pub(super) struct BitReader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    /// Bytes touched so far, emulation prevention bytes included.
    at_byte: usize,
    /// Zero bytes in a row just before `at_byte`.
    zeros: u32,
    current: u8,
    current_bits: u32,
}

impl<'a> BitReader<'a> {
    /// Starts at the first byte of `bytes`; `what` names the structure in errors.
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at_byte: 0, zeros: 0, current: 0, current_bits: 0 }
    }

    /// Returns the number of bytes touched: a byte of which one bit was read counts whole.
    pub(super) fn touched_bytes(&self) -> usize {
        self.at_byte
    }

    /// Returns an error that stands at the current byte.
    pub(super) fn fault(&self, fault: &'static str) -> CencError {
        CencError::Bitstream { what: self.what, at_byte: self.at_byte, fault }
    }

    /// Reads one bit, `u(1)`.
    pub(super) fn flag(&mut self) -> Result<bool, CencError> {
        if self.current_bits == 0 {
            self.next_byte()?;
        }
        self.current_bits -= 1;
        Ok((self.current >> self.current_bits) & 1 == 1)
    }

    /// Reads `count` bits, at most 32, `u(n)`.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, CencError> {
        assert!(count <= 32, "no syntax element of H.264 headers is longer than 32 bits");
        let mut value = 0;
        for _ in 0..count {
            value = (value << 1) | u32::from(self.flag()?);
        }
        Ok(value)
    }

    /// Reads an unsigned Exp-Golomb code, `ue(v)`, §9.1.
    pub(super) fn ue(&mut self) -> Result<u32, CencError> {
        let mut leading_zeros = 0;
        while !self.flag()? {
            leading_zeros += 1;
            if leading_zeros > 31 {
                return Err(self.fault("an Exp-Golomb code is longer than 63 bits"));
            }
        }
        Ok((1 << leading_zeros) - 1 + self.bits(leading_zeros)?)
    }

    /// Reads an unsigned Exp-Golomb code that may be at most `max`.
    pub(super) fn ue_max(&mut self, max: u32, fault: &'static str) -> Result<u32, CencError> {
        let value = self.ue()?;
        if value > max { Err(self.fault(fault)) } else { Ok(value) }
    }

    /// Passes over `count` Exp-Golomb codes; a signed code, `se(v)`, has the bits of an unsigned one.
    pub(super) fn skip_codes(&mut self, count: u32) -> Result<(), CencError> {
        for _ in 0..count {
            self.ue()?;
        }
        Ok(())
    }

    /// Reads a signed Exp-Golomb code, `se(v)`, §9.1.1.
    pub(super) fn se(&mut self) -> Result<i64, CencError> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }

    fn next_byte(&mut self) -> Result<(), CencError> {
        let end = self.fault("it is cut short");
        let mut byte = *self.bytes.get(self.at_byte).ok_or_else(|| end.clone())?;
        self.at_byte += 1;
        if self.zeros >= 2 && byte == 3 {
            byte = *self.bytes.get(self.at_byte).ok_or(end)?;
            self.at_byte += 1;
            self.zeros = 0;
        }
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        self.current = byte;
        self.current_bits = 8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exp_golomb_codes() {
        // 1, 010, 011, 00100, 00101 and padding: 0, 1, 2, 3, 4.
        let mut reader = BitReader::new("test", &[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let values: Vec<u32> = (0..5).map(|_| reader.ue().unwrap()).collect();
        assert_eq!(values, [0, 1, 2, 3, 4]);
        assert_eq!(reader.touched_bytes(), 3);
        let mut reader = BitReader::new("test", &[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let values: Vec<i64> = (0..5).map(|_| reader.se().unwrap()).collect();
        assert_eq!(values, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn drops_emulation_prevention_and_counts_it() {
        let mut reader = BitReader::new("test", &[0, 0, 3, 1, 0, 0, 3, 3]);
        assert_eq!(reader.bits(24).unwrap(), 1);
        assert_eq!(reader.touched_bytes(), 4);
        assert_eq!(reader.bits(24).unwrap(), 3);
        assert_eq!(reader.touched_bytes(), 8);
    }

    #[test]
    fn stops_at_the_end_and_at_endless_codes() {
        let mut reader = BitReader::new("slice header", &[0x80]);
        reader.flag().unwrap();
        let error = reader.bits(8).unwrap_err().to_string();
        assert_eq!(error, "slice header at byte 1: it is cut short");
        let mut reader = BitReader::new("slice header", &[0, 0, 3, 0, 0, 3, 1]);
        let error = reader.ue().unwrap_err().to_string();
        assert_eq!(error, "slice header at byte 5: an Exp-Golomb code is longer than 63 bits");
    }
}
