//! Percent-encoding of a value that stands alone in a URL (RFC 3986, section 2).

use std::fmt::Write;

/// Escapes everything but the unreserved characters, so that no value can end the place it is put in.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The text that `raw` means, or `None` where that is not certain: a broken escape, bytes that are not UTF-8, or
/// a bare `+`, which is a space to one server and a plus to another.
pub fn decode(raw: &str) -> Option<String> {
    let mut bytes = raw.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => 16 * digit(bytes.next()?)? + digit(bytes.next()?)?,
            b'+' => return None,
            byte if is_url_character(byte) => byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

/// May stand in a path or query as it is; `%` is left out, for it must be followed by two digits.
pub fn is_url_character(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/?".contains(&byte)
}

pub fn has_broken_escape(text: &str) -> bool {
    let mut after = text.split('%').skip(1).map(str::bytes);
    !after.all(|mut bytes| bytes.next().and_then(digit).is_some() && bytes.next().and_then(digit).is_some())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back_and_only_unreserved_characters_stay() {
        for text in [
            "",
            "az-AZ_09.~",
            "a b",
            "+/=&?#%",
            "ü€😀",
            "{model_family}",
            "\"\\<>",
            "%2B",
        ] {
            let encoded = encode(text);
            assert!(
                encoded.bytes().all(|byte| is_unreserved(byte) || byte == b'%'),
                "{encoded}"
            );
            assert_eq!(decode(&encoded).as_deref(), Some(text));
        }
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_decoded() {
        for raw in [
            "a+b", "%", "%4", "%zz", "%+1", "%ff", "a b", "<key>", "{key}", "ü", "a\"b",
        ] {
            assert_eq!(decode(raw), None, "{raw}");
        }
        assert_eq!(decode("k%2b%3D=").as_deref(), Some("k+=="));
    }
}
