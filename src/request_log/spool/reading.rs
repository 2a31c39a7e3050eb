//! What a segment holds, read from its bytes alone, whatever they are.
use serde::de::DeserializeOwned;

use crate::frames::{self, Front};

#[derive(Debug)]
pub struct Read<T> {
    pub records: Vec<T>,
    /// So many bytes need not be looked at again. Never 0 if there were some.
    pub length: usize,
    /// Places where something stood that is lost.
    pub damaged: u64,
}

/// Reads frames from the front of `bytes`, to their end or until there are `most` records.
///
/// A frame with a wrong checksum is passed over if frames follow where it should end. If none does, nobody can tell
/// where the next one begins: the rest is lost. Looking for something that resembles a frame would find those that a
/// stranger has put into a user agent.
pub fn read<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Read<T> {
    let (mut records, mut length, mut damaged) = (Vec::new(), 0, 0);
    while length < bytes.len() && records.len() < most {
        let rest = &bytes[length..];
        match frames::front(rest) {
            Front::Whole(payload, whole) => {
                match postcard::from_bytes::<Vec<T>>(payload) {
                    Ok(some) => records.extend(some),
                    // Of a later version, perhaps.
                    Err(_) => damaged += 1,
                }
                length += whole;
            }
            Front::Damaged(_) | Front::Nothing => {
                let next = next_whole(rest);
                damaged += u64::from(next.is_some() || rest.iter().any(|byte| *byte != 0));
                length += next.unwrap_or(rest.len());
            }
        }
    }
    Read {
        records,
        length,
        damaged,
    }
}

/// Where the next whole frame begins, by the lengths of those before it.
fn next_whole(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match frames::front(&bytes[at..]) {
            Front::Whole(..) => return Some(at),
            Front::Damaged(length) => at += length,
            Front::Nothing => return None,
        }
    }
}
