//! A QR code as the one path of an SVG.
use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// White around it, in modules (ISO/IEC 18004).
const MARGIN: usize = 4;

pub struct Qr {
    /// With the margin.
    pub side: usize,
    pub path: String,
}

/// `None`: the text is longer than a code can be.
#[must_use]
pub fn draw(text: &str) -> Option<Qr> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (at, _) in code
        .to_colors()
        .iter()
        .enumerate()
        .filter(|(_, color)| **color == Color::Dark)
    {
        // Writing to a text never fails.
        write!(path, "M{} {}h1v1h-1z", MARGIN + at % width, MARGIN + at / width).ok();
    }
    Some(Qr {
        side: width + 2 * MARGIN,
        path,
    })
}
