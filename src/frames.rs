//! Frames in a file: length, CRC-32, payload. A frame that a crash cut short is told from a whole one.
use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// No frame is larger: a damaged length must not ask for gigabytes.
const MAX: u32 = 64 * 1024 * 1024;
/// Of the length and the checksum.
const HEADER: usize = 8;

/// Writes one frame. Returns its length in the file.
pub fn write(to: &mut impl Write, value: &impl Serialize) -> io::Result<u64> {
    let payload = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|length| *length <= MAX)
        .ok_or_else(|| io::Error::other("a frame of more than 64 MiB"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
    to.write_all(&payload)?;
    Ok(HEADER as u64 + u64::from(length))
}

/// Writes one frame to the front of `room`. Returns its length; `None` if it does not fit.
pub fn encode(room: &mut [u8], value: &impl Serialize) -> Option<usize> {
    let (header, rest) = room.split_at_mut_checked(HEADER)?;
    let payload = postcard::to_slice(value, rest).ok()?;
    let (length, checksum) = header.split_at_mut(4);
    length.copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
    checksum.copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    Some(HEADER + payload.len())
}

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A frame, and its length with the header.
    Whole(&'a [u8], usize),
    /// A payload of another checksum. If the header is right, the next frame stands behind this many bytes.
    Damaged(usize),
    /// No frame, or the begin of one.
    Nothing,
}

/// Looks at the front of `bytes`, whatever they are.
#[must_use]
pub fn front(bytes: &[u8]) -> Front<'_> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else {
        return Front::Nothing;
    };
    let (length, checksum) = header.split_at(4);
    let length = number(length) as usize;
    match rest.get(..length) {
        // No payload is empty: zeros are room that nobody has written to.
        None | Some([]) => Front::Nothing,
        Some(payload) if crc32fast::hash(payload) == number(checksum) => Front::Whole(payload, HEADER + length),
        Some(_) => Front::Damaged(HEADER + length),
    }
}

/// Reads one frame. `None` at the end, and where a frame is torn or damaged.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut header = [0; HEADER];
    if !fill(from, &mut header)? {
        return Ok(None);
    }
    let (length, checksum) = header.split_at(4);
    let (length, checksum) = (number(length), number(checksum));
    // No payload is empty: zeros are room that nobody has written to.
    if length == 0 || length > MAX {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    if !fill(from, &mut payload)? || crc32fast::hash(&payload) != checksum {
        return Ok(None);
    }
    Ok(postcard::from_bytes(&payload).ok())
}

/// Reads the payload of one frame, which lies within the next `left` bytes, into `payload`. Returns the frame's length.
/// `None` where no whole frame is.
pub fn read_payload(from: &mut impl Read, left: u64, payload: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER];
    if !fill(from, &mut header)? {
        return Ok(None);
    }
    let (length, checksum) = header.split_at(4);
    let (length, checksum) = (number(length), number(checksum));
    let whole = HEADER as u64 + u64::from(length);
    if length > MAX || whole > left {
        return Ok(None);
    }
    payload.resize(length as usize, 0);
    let is_whole = fill(from, payload)? && crc32fast::hash(payload) == checksum;
    Ok(is_whole.then_some(whole))
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(u32::MAX, u32::from_le_bytes)
}

/// `false` if the end comes first.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_or_damaged_frame_ends_the_reading_and_what_stands_before_it_is_good() {
        let mut file = Vec::new();
        let first = write(&mut file, &"first").expect("written");
        write(&mut file, &"second").expect("written");
        for cut in usize::try_from(first).expect("small")..file.len() {
            let mut reader = &file[..cut];
            assert_eq!(read::<String>(&mut reader).expect("read"), Some("first".to_owned()));
            assert_eq!(read::<String>(&mut reader).expect("read"), None, "cut at {cut}");
        }
        let last = file.len() - 1;
        file[last] ^= 1;
        let mut reader = &file[..];
        assert_eq!(read::<String>(&mut reader).expect("read"), Some("first".to_owned()));
        assert_eq!(read::<String>(&mut reader).expect("read"), None);
    }
}
