//! Codes by time (RFC 6238): SHA-1, six digits, half minutes, which is what every program for them takes.
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

const SECONDS: i64 = 30;
/// As many half minutes as the clocks may differ.
const DRIFT: i64 = 1;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What the codes are made of. Has no `Debug`.
pub struct TotpSecret([u8; 20]);

impl TotpSecret {
    #[must_use]
    pub fn random() -> Self {
        Self(crate::sealed::random())
    }

    /// One that was sealed here.
    pub(super) fn opened(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// In groups of four, to be typed.
    #[must_use]
    pub fn text(&self) -> String {
        let text = base32(&self.0);
        let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
        groups.join(" ")
    }

    /// What a QR code holds.
    #[must_use]
    pub fn uri(&self, account: &str) -> String {
        // A query's encoding writes a space as `+`, which a path and some programs read as a plus.
        let account: String = url::form_urlencoded::byte_serialize(account.as_bytes()).collect();
        let account = account.replace('+', "%20");
        format!(
            "otpauth://totp/Signpost:{account}?secret={}&issuer=Signpost",
            base32(&self.0)
        )
    }

    /// RFC 4226 §5.3.
    #[must_use]
    pub fn code(&self, step: i64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[19] & 0xf);
        let word = [tag[offset] & 0x7f, tag[offset + 1], tag[offset + 2], tag[offset + 3]];
        u32::from_be_bytes(word) % 1_000_000
    }

    /// The half minute that `code` is of, if it is near `now` and after `last`.
    #[must_use]
    pub fn step_of(&self, code: u32, last: i64, now: DateTime<Utc>) -> Option<i64> {
        let present = step_at(now);
        let matches = |step: &i64| bool::from(self.code(*step).ct_eq(&code));
        (present - DRIFT..=present + DRIFT)
            .filter(|step| *step > last)
            .find(matches)
    }
}

#[must_use]
pub fn step_at(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(SECONDS)
}

/// RFC 4648 §6, for whole groups of five bytes: nothing is padded.
pub(super) fn base32(bytes: &[u8]) -> String {
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8)
            .rev()
            .map(|at| char::from(ALPHABET[(bits >> (at * 5) & 31) as usize]))
            .collect::<String>()
    };
    bytes.chunks_exact(5).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238_and_4226() {
        let secret = TotpSecret(*b"12345678901234567890");
        // RFC 6238 appendix B, the last six of eight digits.
        for (seconds, code) in [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ] {
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            assert_eq!(secret.code(step_at(at)), code, "{seconds}");
        }
        // RFC 4226 appendix D.
        for (step, code) in [755_224, 287_082, 359_152, 969_429, 338_314].into_iter().enumerate() {
            assert_eq!(secret.code(i64::try_from(step).unwrap()), code);
        }
    }

    #[test]
    fn a_code_is_taken_half_a_minute_around_its_time_and_never_again() {
        let secret = TotpSecret(*b"12345678901234567890");
        let now = DateTime::from_timestamp(1_000_000_015, 0).unwrap();
        let step = step_at(now);
        for (distance, is_taken) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let taken = secret.step_of(secret.code(step + distance), -1, now);
            assert_eq!(taken, is_taken.then_some(step + distance), "{distance}");
        }
        assert_eq!(secret.step_of(secret.code(step), step, now), None, "replayed");
        assert_eq!(
            secret.step_of(secret.code(step - 1), step, now),
            None,
            "older than the last"
        );
    }

    #[test]
    fn a_secret_is_written_as_programs_read_it() {
        let secret = TotpSecret(*b"12345678901234567890");
        assert_eq!(secret.text(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert_eq!(
            secret.uri("ada+l@msp.example"),
            "otpauth://totp/Signpost:ada%2Bl%40msp.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Signpost"
        );
    }
}
