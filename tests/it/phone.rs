//! A phone with a program for one-time codes.
use aws_lc_rs::hmac;

/// A program for codes, made from the RFCs and not from ours.
pub struct Phone(pub Vec<u8>);

impl Phone {
    /// Reads the key that a page shows.
    #[track_caller]
    pub fn shown(page: &str) -> Self {
        let key = page
            .split("class=\"key\">")
            .nth(1)
            .expect("a key")
            .split('<')
            .next()
            .unwrap();
        Self::of(key)
    }

    /// With this key typed in, in groups or not.
    pub fn of(key: &str) -> Self {
        let mut bits = Vec::new();
        for letter in key.bytes().filter(|byte| *byte != b' ') {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                _ => letter - b'2' + 26,
            };
            bits.extend((0..5).rev().map(|at| value >> at & 1));
        }
        Self(
            bits.chunks(8)
                .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit))
                .collect(),
        )
    }

    /// The code of now, or so many half minutes later.
    pub fn code(&self, later: i64) -> String {
        let step = crate::clock::now().timestamp() / 30 + later;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let at = usize::from(tag.as_ref()[19] & 15);
        let word: [u8; 4] = tag.as_ref()[at..at + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
    }
}
