//! The first directory of a TIFF (TIFF 6.0, section 2; BigTIFF too): its tags and where their values are.

/// Tags that are read (TIFF 6.0, section 8 and following; Adobe's Technical Note 2).
pub mod tag {
    pub const WIDTH: u16 = 256;
    pub const HEIGHT: u16 = 257;
    pub const BITS: u16 = 258;
    pub const COMPRESSION: u16 = 259;
    pub const PHOTOMETRIC: u16 = 262;
    pub const FILL_ORDER: u16 = 266;
    pub const STRIP_OFFSETS: u16 = 273;
    pub const ORIENTATION: u16 = 274;
    pub const XMP: u16 = 700;
    pub const SAMPLES: u16 = 277;
    pub const ROWS_PER_STRIP: u16 = 278;
    pub const STRIP_LENGTHS: u16 = 279;
    pub const PLANAR: u16 = 284;
    pub const T4_OPTIONS: u16 = 292;
    pub const PREDICTOR: u16 = 317;
    pub const COLOR_MAP: u16 = 320;
    pub const TILE_WIDTH: u16 = 322;
    pub const TILE_HEIGHT: u16 = 323;
    pub const TILE_OFFSETS: u16 = 324;
    pub const TILE_LENGTHS: u16 = 325;
    pub const EXTRA_SAMPLES: u16 = 338;
    pub const SAMPLE_FORMAT: u16 = 339;
    pub const JPEG_TABLES: u16 = 347;
    pub const YCBCR_COEFFICIENTS: u16 = 529;
    pub const YCBCR_SUBSAMPLING: u16 = 530;
    pub const REFERENCE_BLACK_WHITE: u16 = 532;
}

/// A file and its byte order.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Source<'_> {
    /// A whole number of 1, 2, 4 or 8 bytes.
    fn number(self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }
}

/// The values of one tag.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    source: Source<'a>,
    kind: u16,
    at: usize,
    count: usize,
}

impl<'a> Values<'a> {
    pub fn len(&self) -> usize {
        self.count
    }

    /// Bytes of one value.
    fn size(&self) -> usize {
        match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            _ => 8,
        }
    }

    /// A whole number.
    pub fn get(&self, index: usize) -> Option<u64> {
        if index >= self.count || !matches!(self.kind, 1 | 3 | 4 | 7 | 13 | 16 | 18) {
            return None;
        }
        self.source.number(self.at + index * self.size(), self.size())
    }

    /// A number that may be a fraction.
    pub fn fraction(&self, index: usize) -> Option<f64> {
        if self.kind != 5 {
            return self.get(index).map(|number| number as f64);
        }
        let at = self.at + index * 8;
        let (over, under) = (self.source.number(at, 4)?, self.source.number(at + 4, 4)?);
        (index < self.count && under != 0).then(|| over as f64 / under as f64)
    }

    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.source.bytes.get(self.at..self.at.checked_add(self.count.checked_mul(self.size())?)?)
    }
}

/// The tags of a file's first picture.
pub struct Directory<'a> {
    pub big_endian: bool,
    entries: Vec<(u16, Values<'a>)>,
}

/// More are in no picture.
const MAX_ENTRIES: u64 = 4096;

impl<'a> Directory<'a> {
    /// `None` where the file is none, or ends before its directory does.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let source = Source { bytes, big_endian };
        // Sizes of an offset, of the number of entries and of one entry.
        let (offset_size, count_size, entry_size) = match source.number(2, 2)? {
            42 => (4, 2, 12),
            43 if source.number(4, 2)? == 8 => (8, 8, 20),
            _ => return None,
        };
        let directory = usize::try_from(source.number(offset_size, offset_size)?).ok()?;
        let count = source.number(directory, count_size)?;
        if count > MAX_ENTRIES {
            return None;
        }
        let mut entries = vec![];
        for index in 0..count as usize {
            let at = directory + count_size + index * entry_size;
            let (tag, kind) = (source.number(at, 2)? as u16, source.number(at + 2, 2)? as u16);
            let count = usize::try_from(source.number(at + 4, offset_size)?).ok()?;
            let mut values = Values { source, kind, at: at + 4 + offset_size, count };
            if count.checked_mul(values.size())? > offset_size {
                values.at = usize::try_from(source.number(values.at, offset_size)?).ok()?;
            }
            entries.push((tag, values));
        }
        Some(Self { big_endian, entries })
    }

    pub fn values(&self, tag: u16) -> Option<Values<'a>> {
        self.entries.iter().find(|(known, _)| *known == tag).map(|(_, values)| *values)
    }

    /// The first value of a tag.
    pub fn number(&self, tag: u16) -> Option<u64> {
        self.values(tag)?.get(0)
    }
}

/// The size of the picture, where its directory is within `bytes`.
pub fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let directory = Directory::read(bytes)?;
    let side = |tag| directory.number(tag).and_then(|side| u32::try_from(side).ok());
    side(tag::WIDTH).zip(side(tag::HEIGHT))
}

/// Whether the pixels may be JPEGs, which take memory of their own: they are, or the directory does not tell.
pub fn holds_jpeg(bytes: &[u8]) -> bool {
    Directory::read(bytes).is_none_or(|directory| directory.number(tag::COMPRESSION) == Some(7))
}
