//! Frames on a blocking pipe: `u32` little-endian length of kind and payload, one byte of kind, payload.

use std::io::{Read, Write};

use crate::message::payload_bytes_max;
use crate::{FromChild, ToChild, WireError};

/// Bytes before the payload: length and kind.
pub const HEADER_BYTES: usize = 5;

/// Returns the header of a frame.
///
/// # Panics
/// If the payload is longer than its kind allows: senders check foreign sizes first.
pub fn header(kind: u8, payload_len_bytes: usize) -> [u8; HEADER_BYTES] {
    let allowed = payload_bytes_max(kind).unwrap_or(0);
    assert!(payload_len_bytes <= allowed, "a message of kind {kind} with {payload_len_bytes} bytes is not allowed");
    let len = u32::try_from(payload_len_bytes + 1).unwrap_or(u32::MAX).to_le_bytes();
    [len[0], len[1], len[2], len[3], kind]
}

/// Reads kind and payload length out of a header.
///
/// # Errors
/// When the kind is unknown or the payload longer than its kind allows.
pub fn parse_header(bytes: [u8; HEADER_BYTES]) -> Result<(u8, usize), WireError> {
    let [a, b, c, d, kind] = bytes;
    let claimed = u32::from_le_bytes([a, b, c, d]) as usize;
    let max_bytes = payload_bytes_max(kind)?;
    match claimed.checked_sub(1) {
        Some(len_bytes) if len_bytes <= max_bytes => Ok((kind, len_bytes)),
        _ => Err(WireError::TooLong { kind, len_bytes: claimed, max_bytes }),
    }
}

/// Writes one frame.
///
/// # Errors
/// When the pipe fails.
pub fn write(pipe: &mut impl Write, kind: u8, payload: &[u8]) -> Result<(), WireError> {
    pipe.write_all(&header(kind, payload.len()))?;
    pipe.write_all(payload)?;
    Ok(())
}

/// Reads one frame; memory follows what has really arrived, not what a header claims.
///
/// # Errors
/// When the pipe fails or ends inside a frame, or the header is out of bounds.
pub fn read(pipe: &mut impl Read) -> Result<(u8, Vec<u8>), WireError> {
    let mut bytes = [0; HEADER_BYTES];
    pipe.read_exact(&mut bytes)?;
    let (kind, len_bytes) = parse_header(bytes)?;
    let mut payload = Vec::new();
    let got = pipe.take(len_bytes as u64).read_to_end(&mut payload)?;
    if got < len_bytes {
        return Err(WireError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok((kind, payload))
}

/// Reads one message of a parent.
///
/// # Errors
/// As `read`, and when the payload does not parse.
pub fn read_to_child(pipe: &mut impl Read) -> Result<ToChild, WireError> {
    let (kind, payload) = read(pipe)?;
    ToChild::decode(kind, payload)
}

/// Writes one message of a child.
///
/// # Errors
/// When the pipe fails.
pub fn write_from_child(pipe: &mut impl Write, message: &FromChild) -> Result<(), WireError> {
    let (kind, payload) = message.encode();
    write(pipe, kind, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, FailureKind};
    use proptest::prelude::*;

    fn round_trip(message: &FromChild) -> FromChild {
        let mut pipe = Vec::new();
        write_from_child(&mut pipe, message).unwrap();
        let (kind, payload) = read(&mut pipe.as_slice()).unwrap();
        FromChild::decode(kind, payload).unwrap()
    }

    #[test]
    fn messages_survive_the_pipe() {
        let messages = [
            FromChild::Read { offset_bytes: 7, len_bytes: 9 },
            FromChild::AccessUnit { track: 3, key: true, pts: -5, bytes: vec![1, 2, 3] },
            FromChild::Progress { permille: 250 },
            FromChild::Done,
        ];
        for message in messages {
            assert_eq!(round_trip(&message), message);
        }
    }

    #[test]
    fn a_childs_text_is_cut_and_cleaned() {
        let message = format!("a\x1b[2J\nb{}", "x".repeat(2000));
        let failure = Failure { kind: FailureKind::Corrupt, message };
        let FromChild::Failed(shown) = round_trip(&FromChild::Failed(failure)) else { panic!("not a failure") };
        assert!(shown.message.starts_with("a [2J bxx"), "{}", shown.message);
        assert_eq!(shown.message.chars().count(), 500);
    }

    #[test]
    fn a_huge_claim_is_refused_before_any_allocation() {
        let header = [0xff, 0xff, 0xff, 0xff, 21];
        let error = read(&mut &header[..]).unwrap_err().to_string();
        assert_eq!(error, "message of kind 21 claims 4294967295 bytes, 16777227 allowed");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((kind, payload)) = read(&mut bytes.as_slice()) {
                let _ = FromChild::decode(kind, payload.clone());
                let _ = ToChild::decode(kind, payload);
            }
        }
    }
}
