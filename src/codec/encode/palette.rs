//! Colours of classes.

use crate::codec::options;
use crate::diagnostic::{At, Report};
use crate::spec::document::{Expected, Reader, Value};

/// The colour of a class; `None` is not drawn.
pub type Shade = Option<[u8; 3]>;

/// Twelve colours that are told apart well, then the same darker.
const DEFAULT: [[u8; 3]; 12] = [
    [0x4c, 0xaf, 0x50],
    [0xff, 0xb3, 0x00],
    [0x1e, 0x88, 0xe5],
    [0xe5, 0x39, 0x35],
    [0x8e, 0x24, 0xaa],
    [0x00, 0xac, 0xc1],
    [0xf4, 0x8f, 0xb1],
    [0x6d, 0x4c, 0x41],
    [0xc0, 0xca, 0x33],
    [0x9e, 0x9e, 0x9e],
    [0xff, 0x70, 0x43],
    [0x39, 0x49, 0xab],
];

/// The colour of `class` where the options give none.
pub fn default(class: usize) -> [u8; 3] {
    let darker = (class / DEFAULT.len()).min(6) as u32;
    DEFAULT[class % DEFAULT.len()].map(|level| (u32::from(level) * (8 - darker) / 8) as u8)
}

/// `palette = ["#4caf50", [255, 0, 0], "none"]`, a colour for each class.
pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<At<Vec<Shade>>> {
    options.take_as("palette", report, |value| {
        let wanted = || {
            Expected::new("an array of 1 to 255 colours, one for each class")
                .help("as in `palette = [\"#4caf50\", \"#ffb300\", \"none\"]`")
        };
        let Value::Array(items) = &value.value else { return Err(wanted()) };
        if items.is_empty() || items.len() > 255 {
            return Err(wanted());
        }
        let shade = |item: &At<Value>| match &item.value {
            Value::String(s) if s == "none" => Ok(None),
            _ => options::color(item).map(Some).map_err(|_| wanted()),
        };
        items.iter().map(shade).collect()
    })
}

/// The colour of `class`: that of the palette, or where there is none the default.
pub fn shade(palette: Option<&[Shade]>, class: usize) -> Shade {
    match palette {
        Some(palette) => palette.get(class).copied().flatten(),
        None => Some(default(class)),
    }
}
