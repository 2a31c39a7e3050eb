//! Reading a segment of the request log, whatever is in the file and wherever the reading begins: it ends, it always goes
//! on, and it returns nothing whose checksum is wrong.
//!
//! The two files under test are compiled from where they are, so that this needs nothing else of the program.
#![no_main]
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

#[allow(dead_code)]
#[path = "../../src/frames.rs"]
mod frames;
#[path = "../../src/request_log/spool/reading.rs"]
mod reading;

/// Of the same shapes as a record of the request log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Record {
    Hit(i64, Option<[u8; 16]>, String, u16),
    Text(Option<String>),
    Count { at: i64, family: String, count: u64 },
}

fuzz_target!(|input: (u16, u8, bool, Vec<u8>)| {
    let (from, most, is_mended, mut bytes) = input;
    if is_mended {
        mend(&mut bytes);
    }
    let from = usize::from(from).min(bytes.len());
    let most = usize::from(most) + 1;
    let mut at = from;
    let mut pieces = Vec::new();
    while at < bytes.len() {
        let read = reading::read::<Record>(&bytes[at..], most);
        assert!(read.length > 0, "goes on");
        assert!(at + read.length <= bytes.len(), "stays in the file");
        assert!(read.damaged as usize <= read.length, "says no more than there is");
        pieces.extend(read.records);
        at += read.length;
    }
    // What is read does not depend on where a batch ends, and stands in frames with the right checksum.
    let whole = reading::read::<Record>(&bytes[from..], usize::MAX);
    assert_eq!(encoded(&pieces), encoded(&whole.records));
    assert_eq!(whole.length, bytes.len() - from);
    assert!(is_all_in_frames(&bytes[from..], &whole.records));
});

/// Gives frames the checksums that they should have, so that most of the inputs get behind the first.
fn mend(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([header[0], header[1] & 1, 0, 0]) as usize;
        let should_be_wrong = header[4] == 0xff;
        let Some(payload) = bytes.get(at + 8..at + 8 + length) else { return };
        let checksum = crc32fast::hash(payload) ^ u32::from(should_be_wrong);
        bytes[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        at += 8 + length;
    }
}

/// Looked at without the code under test: whether each record comes from a frame, in their order.
fn is_all_in_frames(bytes: &[u8], records: &[Record]) -> bool {
    let mut left = records;
    let mut at = 0;
    while !left.is_empty() && at + 8 < bytes.len() {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let payload = bytes.get(at + 8..).and_then(|rest| rest.get(..number(at) as usize));
        let Some(payload) = payload else { return false };
        if crc32fast::hash(payload) == number(at + 4)
            && let Ok(some) = postcard::from_bytes::<Vec<Record>>(payload)
        {
            let Some((front, rest)) = left.split_at_checked(some.len()) else { return false };
            if encoded(front) != encoded(&some) {
                return false;
            }
            left = rest;
        }
        at += 8 + payload.len();
    }
    left.is_empty()
}

fn encoded(records: &[Record]) -> Vec<u8> {
    postcard::to_stdvec(records).expect("plain data")
}
