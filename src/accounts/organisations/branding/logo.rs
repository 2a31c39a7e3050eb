//! What may be a logo: a PNG or a JPEG by its own bytes, whatever it is called, small and of a sensible size. Only headers are
//! read: nothing is decoded here. Never SVG, which is a document with scripts.

/// Of the file.
pub const MAX_BYTES: usize = 100 * 1024;
/// Of each side. A small file can be a huge picture.
pub const MAX_PIXELS: u32 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    Png,
    Jpeg,
}

impl ImageKind {
    const ALL: [Self; 2] = [Self::Png, Self::Jpeg];

    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// Of its media type.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.media_type() == text)
    }
}

/// A logo without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogoFacts {
    pub kind: ImageKind,
    pub width: u32,
    pub height: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Logo {
    facts: LogoFacts,
    bytes: Vec<u8>,
}

impl Logo {
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.is_empty() {
            return Err("must be chosen: a PNG or a JPEG");
        }
        if bytes.len() > MAX_BYTES {
            return Err("must have at most 100 KB");
        }
        let (kind, size) = if bytes.starts_with(PNG) {
            (ImageKind::Png, png_size(bytes))
        } else if bytes.starts_with(JPEG) {
            (ImageKind::Jpeg, jpeg_size(bytes))
        } else {
            return Err("must be a PNG or a JPEG");
        };
        let (width, height) = size.ok_or("can't be read: it is damaged or cut off")?;
        if !(1..=MAX_PIXELS).contains(&width) || !(1..=MAX_PIXELS).contains(&height) {
            return Err("must be at most 2000 pixels wide and high");
        }
        Ok(Self {
            facts: LogoFacts { kind, width, height },
            bytes: bytes.to_vec(),
        })
    }

    /// One that was parsed and stored.
    pub(super) fn stored(kind: ImageKind, bytes: Vec<u8>, (width, height): (u32, u32)) -> Self {
        Self {
            facts: LogoFacts { kind, width, height },
            bytes,
        }
    }

    #[must_use]
    pub fn facts(&self) -> LogoFacts {
        self.facts
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Its last chunk, with its length and its checksum (PNG 3rd edition, §11.2.5).
const PNG_END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";
const JPEG: &[u8] = b"\xff\xd8\xff";

/// Of the header, which comes first (PNG 3rd edition, §11.2.1).
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(PNG)?.strip_prefix(b"\0\0\0\x0dIHDR")?;
    let number = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let size = (number(0)?, number(4)?);
    bytes.ends_with(PNG_END).then_some(size)
}

/// Of the first frame header (ITU T.81, B.2.2); every segment before it says how long it is.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let mut at = 2;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        match *bytes.get(at + 1)? {
            // Any number of them may stand before a marker.
            0xff => at += 1,
            0x01 | 0xd0..=0xd7 => at += 2,
            // The picture or its end before any frame header.
            0x00 | 0xd8..=0xda => return None,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((number(at + 7)?.into(), number(at + 5)?.into()));
            }
            _ => {
                let length = number(at + 2)?;
                at += 2 + usize::from(length.max(2));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = [PNG, b"\0\0\0\x0dIHDR"].concat();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend(b"\x08\x06\0\0\0sumsdata");
        bytes.extend(PNG_END);
        bytes
    }

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
        bytes.extend(b"\xff\xdb\0\x04\xff\xc0\xff\xff\xc2\0\x0b\x08");
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.extend(b"\x01\x11\0\xff\xda\0\x02data\xff\xd9");
        bytes
    }

    #[test]
    fn a_logo_is_known_by_its_bytes_and_its_size_is_in_its_header() {
        let facts = |bytes: &[u8]| Logo::parse(bytes).map(|logo| logo.facts());
        let expected = |kind, width, height| Ok(LogoFacts { kind, width, height });
        assert_eq!(facts(&png(1, 2_000)), expected(ImageKind::Png, 1, 2_000));
        assert_eq!(facts(&jpeg(640, 200)), expected(ImageKind::Jpeg, 640, 200));
    }

    #[test]
    fn what_is_no_logo_is_refused_with_the_reason() {
        let mut large = png(10, 10);
        large.splice(33..33, vec![0; MAX_BYTES]);
        for (bytes, reason) in [
            (Vec::new(), "must be chosen"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "must be a PNG"),
            (b"GIF89a".to_vec(), "must be a PNG"),
            (b"<script>alert(1)</script>\x89PNG\r\n\x1a\n".to_vec(), "must be a PNG"),
            (large, "at most 100 KB"),
            (png(0, 10), "2000 pixels"),
            (png(10, 2_001), "2000 pixels"),
            (png(u32::MAX, u32::MAX), "2000 pixels"),
            (jpeg(0, 10), "2000 pixels"),
            (jpeg(10, 65_535), "2000 pixels"),
            (PNG.to_vec(), "can't be read"),
            (b"\xff\xd8\xff".to_vec(), "can't be read"),
            (b"\xff\xd8\xff\xda\0\x02".to_vec(), "can't be read"),
            (b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0".to_vec(), "can't be read"),
        ] {
            let refused = Logo::parse(&bytes).expect_err(reason);
            assert!(refused.contains(reason), "{refused}: {reason}");
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_no_picture_and_no_panic() {
        for whole in [png(10, 10), jpeg(10, 10)] {
            let is_read = |end: &usize| Logo::parse(&whole[..*end]).is_ok();
            let first = (0..whole.len()).find(is_read).unwrap_or(whole.len());
            assert!(first > 24, "{first}");
        }
    }
}
