//! What a device says in its query: who signs in, on what. Percent-decoded in place and never form
//! decoded, which would turn `first+tag@contoso.com` into another person.

/// The longest `user-identifier` that is looked at. An address has at most 254 bytes (RFC 5321);
/// a longer one is answered as if it were absent.
pub const MAX_USER: usize = 512;

/// The six families that Apple's devices send, exactly so.
/// [Apple, "Implementing the simple authentication account-driven enrollment flow"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelFamily {
    AppleTv,
    IPad,
    IPhone,
    Mac,
    RealityDevice,
    Watch,
}

impl ModelFamily {
    pub const ALL: [Self; 6] = [
        Self::AppleTv,
        Self::IPad,
        Self::IPhone,
        Self::Mac,
        Self::RealityDevice,
        Self::Watch,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppleTv => "AppleTV",
            Self::IPad => "iPad",
            Self::IPhone => "iPhone",
            Self::Mac => "Mac",
            Self::RealityDevice => "RealityDevice",
            Self::Watch => "Watch",
        }
    }

    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str().as_bytes() == text)
    }
}

/// The `model-family` of a request, as it is logged. `Unknown` is answered as if it were absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Family(ModelFamily),
    Unknown,
    None,
}

impl Asked {
    pub const ALL: [Self; 8] = [
        Self::Family(ModelFamily::AppleTv),
        Self::Family(ModelFamily::IPad),
        Self::Family(ModelFamily::IPhone),
        Self::Family(ModelFamily::Mac),
        Self::Family(ModelFamily::RealityDevice),
        Self::Family(ModelFamily::Watch),
        Self::Unknown,
        Self::None,
    ];

    #[must_use]
    pub fn family(self) -> Option<ModelFamily> {
        match self {
            Self::Family(family) => Some(family),
            Self::Unknown | Self::None => None,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Family(family) => family.as_str(),
            Self::Unknown => "unknown",
            Self::None => "none",
        }
    }

    /// Its place in [`Asked::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Family(family) => family as usize,
            Self::Unknown => 6,
            Self::None => 7,
        }
    }
}

/// The query of a discovery request. Of a parameter that is repeated, the first counts.
pub struct Query {
    pub asked: Asked,
    user: [u8; MAX_USER],
    user_length: usize,
}

impl Query {
    #[must_use]
    pub fn parse(raw: &str) -> Self {
        let mut query = Self {
            asked: Asked::None,
            user: [0; MAX_USER],
            user_length: 0,
        };
        let mut user_seen = false;
        for pair in raw.as_bytes().split(|b| *b == b'&') {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[pair.len()..]),
            };
            match name {
                b"user-identifier" if !user_seen => {
                    user_seen = true;
                    query.user_length = decode(value, &mut query.user).unwrap_or(0);
                }
                b"model-family" if query.asked == Asked::None => query.asked = parse_family(value),
                _ => {}
            }
        }
        query
    }

    /// The decoded identifier in lower case, so that one person is one person. Not necessarily UTF-8.
    #[must_use]
    pub fn user(&self) -> Option<&[u8]> {
        (self.user_length > 0).then(|| &self.user[..self.user_length])
    }
}

fn parse_family(value: &[u8]) -> Asked {
    // Longer than any family even when every byte is encoded as %XX: no need to decode it.
    let mut decoded = [0; 16];
    let Some(length) = decode_exact(value, &mut decoded) else {
        return Asked::Unknown;
    };
    ModelFamily::parse(&decoded[..length]).map_or(Asked::Unknown, Asked::Family)
}

/// Percent-decodes into `into` in lower case; `None` if it does not fit.
fn decode(value: &[u8], into: &mut [u8]) -> Option<usize> {
    let length = decode_exact(value, into)?;
    into[..length].make_ascii_lowercase();
    Some(length)
}

/// Percent-decodes; a `%` that starts no escape stands for itself, and `+` is a plus.
fn decode_exact(value: &[u8], into: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while from < value.len() {
        let escaped = value[from] == b'%';
        let byte = escaped.then(|| hexadecimal(value.get(from + 1..from + 3)?)).flatten();
        *into.get_mut(to)? = byte.unwrap_or(value[from]);
        from += if byte.is_some() { 3 } else { 1 };
        to += 1;
    }
    Some(to)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let (high, low) = (digit(digits[0])?, digit(digits[1])?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_percent_decoded_only_and_compared_without_case() {
        for (raw, expected) in [
            (
                "user-identifier=first+tag@contoso.com",
                Some(&b"first+tag@contoso.com"[..]),
            ),
            (
                "user-identifier=First%2Btag%40Contoso.com&model-family=Mac",
                Some(b"first+tag@contoso.com"),
            ),
            ("model-family=Mac&user-identifier=a%zz%4", Some(b"a%zz%4")),
            ("user-identifier=a%FFb", Some(b"a\xffb")),
            ("user-identifier=a&user-identifier=b", Some(b"a")),
            ("user-identifier=&user-identifier=b", None),
            ("User-Identifier=a", None),
            ("user-identifier", None),
            ("", None),
        ] {
            assert_eq!(Query::parse(raw).user(), expected, "{raw}");
        }
        assert_eq!(
            Query::parse(&format!("user-identifier={}", "a".repeat(600))).user(),
            None
        );
    }

    #[test]
    fn a_family_is_one_of_six_or_unknown_or_none() {
        for (raw, expected) in [
            ("model-family=iPhone", "iPhone"),
            ("model-family=%69Phone", "iPhone"),
            ("model-family=RealityDevice", "RealityDevice"),
            ("model-family=Mac&model-family=Watch", "Mac"),
            ("model-family=iphone", "unknown"),
            ("model-family=", "unknown"),
            ("model-family=iPhone%00", "unknown"),
            ("model-family=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "unknown"),
            ("modelfamily=Mac", "none"),
            ("&&=&", "none"),
        ] {
            assert_eq!(Query::parse(raw).asked.as_str(), expected, "{raw}");
        }
        for (index, asked) in Asked::ALL.into_iter().enumerate() {
            assert_eq!(asked.index(), index);
        }
    }
}
