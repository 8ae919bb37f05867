//! The segments of a JPEG: tables, the frame, what its colours are, and its scans one after another.

use super::huffman::{self, Table};
use super::rows::Colors;
use super::scan::{self, Scan, ZIGZAG};
use super::{Component, Fault, Frame, Picture};

/// Scans of a file; more cost time and show nothing.
const MAX_SCANS: usize = 64;

/// The most blocks that a unit may have (T.81, B.2.3).
const MAX_BLOCKS: usize = 10;

/// What stays in force from one segment to the next.
#[derive(Clone, Default)]
pub struct Tables {
    /// The quantisation tables in natural order.
    pub quant: [Option<[u16; 64]>; 4],
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    /// Units between two restart markers; 0 where there are none.
    pub restart_interval: usize,
}

/// All that stands before a file's first scan, and where that begins.
pub struct Header<'a> {
    bytes: &'a [u8],
    pub frame: Frame,
    /// The TIFF structure of an Exif segment.
    pub exif: Option<&'a [u8]>,
    pub xmp: Option<&'a [u8]>,
    has_jfif: bool,
    /// The transform that an Adobe segment tells.
    adobe: Option<u8>,
    tables: Tables,
    scan: Scan,
    /// Where the first scan's data begins.
    data: usize,
}

/// The tables of a JPEG that holds nothing else.
pub fn read_tables(bytes: &[u8]) -> Result<Tables, Fault> {
    let mut segments = Segments::new(bytes)?;
    let mut tables = Tables::default();
    loop {
        match segments.next()? {
            (0xd9, _) => return Ok(tables),
            (marker, content) => {
                tables.read(marker, content)?;
            }
        }
    }
}

impl<'a> Header<'a> {
    /// Reads up to the first scan. `tables` are in force before the file defines others.
    pub fn read(bytes: &'a [u8], mut tables: Tables) -> Result<Self, Fault> {
        let mut segments = Segments::new(bytes)?;
        let (mut has_jfif, mut adobe, mut exif, mut xmp, mut frame) = (false, None, None, None, None);
        loop {
            let (marker, content) = segments.next()?;
            match marker {
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    if frame.is_some() {
                        return Err(Fault::Corrupt("it has two frames"));
                    }
                    frame = Some(Frame::read(marker, content)?);
                }
                0xd9 => return Err(Fault::Corrupt("it has no picture")),
                0xda => {
                    let mut frame: Frame = frame.ok_or(Fault::Corrupt("a scan before the frame"))?;
                    let scan = frame.scan(content)?;
                    let data = segments.at;
                    frame.begin(&scan, &tables)?;
                    return Ok(Self { bytes, frame, exif, xmp, has_jfif, adobe, tables, scan, data });
                }
                0xe0 => has_jfif |= content.len() >= 14 && content.starts_with(b"JFIF\0"),
                0xe1 => {
                    exif = exif.or(content.strip_prefix(b"Exif\0\0"));
                    xmp = content.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0").or(xmp);
                }
                0xee if content.len() >= 12 && content.starts_with(b"Adobe") => adobe = Some(content[11]),
                _ => {
                    tables.read(marker, content)?;
                }
            }
        }
    }

    /// What the components are, as libjpeg finds it (`default_decompress_parms`) and Pillow reads it.
    pub fn colors(&self) -> Result<Colors, Fault> {
        let ids: Vec<u8> = self.frame.components.iter().map(|component| component.id).collect();
        Ok(match (ids.as_slice(), self.adobe) {
            ([_], _) => Colors::Gray,
            ([..], _) if ids.len() == 3 && self.has_jfif => Colors::YCbCr,
            ([_, _, _], Some(0)) => Colors::Rgb,
            ([b'R', b'G', b'B'], None) => Colors::Rgb,
            ([_, _, _], _) => Colors::YCbCr,
            ([_, _, _, _], None | Some(0)) => Colors::Cmyk,
            ([_, _, _, _], _) => Colors::Ycck,
            _ => return Err(Fault::Unsupported(format!("a JPEG with {} components", ids.len()))),
        })
    }

    /// Reads every scan.
    pub fn decode(self) -> Result<Picture, Fault> {
        let Self { bytes, mut frame, mut tables, mut scan, mut data, .. } = self;
        if !frame.progressive {
            // Files of a stream of pictures leave the usual tables out.
            for (index, is_ac, counts, symbols) in huffman::usual() {
                let set = if is_ac { &mut tables.ac } else { &mut tables.dc };
                if set[index].is_none() {
                    set[index] = Some(Table::new(&counts, symbols)?);
                }
            }
        }
        for component in &mut frame.components {
            component.prepare(frame.progressive, frame.units_high * component.v);
        }
        let only_one = !frame.progressive && scan.parts.len() == frame.components.len();
        for _ in 0..MAX_SCANS {
            let after = scan::read(&mut frame, &scan, &tables, bytes, data)?;
            if only_one {
                return frame.finish();
            }
            let mut segments = Segments { bytes, at: after };
            scan = loop {
                match segments.next()? {
                    (0xd9, _) => return frame.finish(),
                    (0xda, content) => break frame.scan(content)?,
                    (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => {
                        return Err(Fault::Corrupt("it has two frames"));
                    }
                    (marker, content) => {
                        tables.read(marker, content)?;
                    }
                }
            };
            frame.begin(&scan, &tables)?;
            data = segments.at;
        }
        Err(Fault::Corrupt("it has too many scans"))
    }
}

/// The marker segments of a file.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err(Fault::Corrupt("it does not begin as a JPEG does"));
        }
        Ok(Self { bytes, at: 2 })
    }

    /// The next marker and the content of its segment, if it has one. What lies between segments is passed over, as
    /// libjpeg does.
    fn next(&mut self) -> Result<(u8, &'a [u8]), Fault> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let junk = rest.iter().position(|byte| *byte == 0xff).ok_or(Fault::Truncated)?;
            let fill = rest[junk..].iter().take_while(|byte| **byte == 0xff).count();
            let marker = *rest.get(junk + fill).ok_or(Fault::Truncated)?;
            self.at += junk + fill + 1;
            match marker {
                // A stuffed byte that was left over; markers without content: TEM, restarts, the begin of a picture.
                0 | 0x01 | 0xd0..=0xd8 => {}
                0xd9 => return Ok((marker, &[])),
                _ => {
                    let rest = &self.bytes[self.at..];
                    let length = rest.first_chunk().map(|two| usize::from(u16::from_be_bytes(*two)));
                    let length = length.ok_or(Fault::Truncated)?;
                    let content = rest.get(..length).ok_or(Fault::Truncated)?;
                    self.at += length;
                    return Ok((marker, content.get(2..).ok_or(Fault::Corrupt("the length of a segment"))?));
                }
            }
        }
    }
}

impl Tables {
    /// Takes up what a segment defines.
    fn read(&mut self, marker: u8, content: &[u8]) -> Result<(), Fault> {
        match marker {
            0xdb => self.quantisation(content).ok_or(Fault::Corrupt("a quantisation table")),
            0xc4 => self.huffman(content),
            0xcc => Err(Fault::Unsupported("a JPEG with arithmetic coding".into())),
            0xdd => {
                let interval = content.first_chunk().ok_or(Fault::Corrupt("a restart interval"))?;
                self.restart_interval = usize::from(u16::from_be_bytes(*interval));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn quantisation(&mut self, mut content: &[u8]) -> Option<()> {
        while let Some((head, rest)) = content.split_first() {
            let (size, index) = (usize::from(head >> 4) + 1, usize::from(head & 15));
            let steps = rest.get(..64 * size).filter(|_| size <= 2)?;
            let mut table = [0; 64];
            for (step, natural) in steps.chunks_exact(size).zip(ZIGZAG) {
                table[natural] = step.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            *self.quant.get_mut(index)? = Some(table);
            content = &rest[64 * size..];
        }
        Some(())
    }

    fn huffman(&mut self, mut content: &[u8]) -> Result<(), Fault> {
        let wrong = Fault::Corrupt("a Huffman table");
        while let Some((head, rest)) = content.split_first() {
            let counts: &[u8; 16] = rest.first_chunk().ok_or(wrong.clone())?;
            let count: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let symbols = rest.get(16..16 + count).filter(|_| count <= 256).ok_or(wrong.clone())?;
            let set = match head >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(wrong),
            };
            let slot = set.get_mut(usize::from(head & 15)).ok_or(wrong.clone())?;
            *slot = Some(Table::new(counts, symbols)?);
            content = &rest[16 + count..];
        }
        Ok(())
    }
}

impl Frame {
    fn read(marker: u8, content: &[u8]) -> Result<Self, Fault> {
        let unsupported = |what: &str| Err(Fault::Unsupported(format!("a JPEG {what}")));
        match marker {
            0xc0..=0xc2 => {}
            0xc3 => return unsupported("without loss (SOF3)"),
            0xc9..=0xcb => return unsupported("with arithmetic coding"),
            _ => return unsupported("of several frames"),
        }
        let [precision, h1, h0, w1, w0, count, parts @ ..] = content else {
            return Err(Fault::Corrupt("its frame header"));
        };
        if *precision != 8 {
            return unsupported(&format!("of {precision} bits"));
        }
        let width = usize::from(u16::from_be_bytes([*w1, *w0]));
        let height = usize::from(u16::from_be_bytes([*h1, *h0]));
        if height == 0 {
            return unsupported("that tells its height behind its first scan (DNL), or not at all,");
        }
        let (parts, rest) = parts.as_chunks::<3>();
        if width == 0 || parts.len() != usize::from(*count) || parts.is_empty() || !rest.is_empty() {
            return Err(Fault::Corrupt("its frame header"));
        }
        if parts.len() > 4 {
            return unsupported(&format!("with {} components", parts.len()));
        }
        let side = |factor: u8| Some(usize::from(factor)).filter(|side| (1..=4).contains(side));
        let factors: Option<Vec<(usize, usize)>> =
            parts.iter().map(|[_, hv, _]| side(hv >> 4).zip(side(hv & 15))).collect();
        let factors = factors.ok_or(Fault::Corrupt("a sampling factor"))?;
        let h_max = factors.iter().map(|(h, _)| *h).max().unwrap_or(1);
        let v_max = factors.iter().map(|(_, v)| *v).max().unwrap_or(1);
        if factors.iter().any(|(h, v)| h_max % h != 0 || v_max % v != 0) {
            return unsupported("whose components' sizes do not go into each other");
        }
        let (units_wide, units_high) = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        let component = |([id, _, quant], (h, v)): (&[u8; 3], (usize, usize))| {
            let (columns, rows) = ((width * h).div_ceil(h_max), (height * v).div_ceil(v_max));
            Component {
                id: *id,
                h,
                v,
                quant_index: usize::from(*quant),
                quant: [0; 64],
                has_quant: false,
                blocks_wide: columns.div_ceil(8),
                blocks_high: rows.div_ceil(8),
                padded_width: units_wide * h,
                columns,
                rows,
                levels: vec![],
                coefficients: vec![],
                missing_bits: [255; 64],
            }
        };
        let components = parts.iter().zip(factors).map(component).collect();
        let progressive = marker == 0xc2;
        Ok(Self { progressive, width, height, h_max, v_max, units_wide, units_high, components })
    }

    fn scan(&self, content: &[u8]) -> Result<Scan, Fault> {
        let wrong = Fault::Corrupt("a scan header");
        let (count, rest) = content.split_first().ok_or(wrong.clone())?;
        let parts = rest.get(..usize::from(*count) * 2).ok_or(wrong.clone())?;
        let [first, last, bits] = rest[parts.len()..] else { return Err(wrong) };
        let mut scan = Scan {
            parts: vec![],
            first: usize::from(first),
            last: usize::from(last),
            high: u32::from(bits >> 4),
            low: u32::from(bits & 15),
        };
        for [id, tables] in parts.as_chunks::<2>().0 {
            let index = self.components.iter().position(|component| component.id == *id);
            let index = index.filter(|i| scan.parts.iter().all(|part| part.0 != *i)).ok_or(wrong.clone())?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 {
                return Err(wrong);
            }
            scan.parts.push((index, dc, ac));
        }
        let blocks = |part: &(usize, usize, usize)| {
            let component = &self.components[part.0];
            component.h * component.v
        };
        let is_wrong = match scan.parts.len() {
            0 => true,
            1 => false,
            _ => scan.parts.iter().map(blocks).sum::<usize>() > MAX_BLOCKS,
        };
        if is_wrong {
            return Err(wrong);
        }
        if !self.progressive {
            // What a sequential scan says here means nothing.
            (scan.first, scan.last, scan.high, scan.low) = (0, 63, 0, 0);
        } else {
            let band = if scan.first == 0 { scan.last == 0 } else { scan.parts.len() == 1 };
            let bits = scan.high == 0 || scan.high == scan.low + 1;
            if !band || !bits || scan.last < scan.first || scan.last > 63 || scan.low > 13 {
                return Err(wrong);
            }
        }
        Ok(scan)
    }

    /// Keeps account of what a scan tells, and the tables of components that begin with it.
    fn begin(&mut self, scan: &Scan, tables: &Tables) -> Result<(), Fault> {
        for (index, ..) in &scan.parts {
            let component = &mut self.components[*index];
            if !component.has_quant {
                let table = tables.quant.get(component.quant_index).copied().flatten();
                component.quant = table.ok_or(Fault::Corrupt("a quantisation table is missing"))?;
                component.has_quant = true;
            }
            for missing in &mut component.missing_bits[scan.first..=scan.last] {
                let before = u32::from(*missing);
                let is_next = if scan.high == 0 { before == 255 } else { before == scan.high };
                if !is_next {
                    return Err(Fault::Corrupt("a scan tells what was told, or what comes later"));
                }
                *missing = scan.low as u8;
            }
        }
        Ok(())
    }

    /// The planes, once every scan was read.
    fn finish(self) -> Result<Picture, Fault> {
        // A band that no scan has told is all zeros; libjpeg would guess the lowest ones from their neighbours.
        let lacks = |component: &Component| {
            component.missing_bits[0] != 0 || component.missing_bits[1..10].iter().any(|bits| *bits != 0)
        };
        if self.components.iter().any(lacks) {
            return Err(Fault::Truncated);
        }
        let (h_max, v_max) = (self.h_max, self.v_max);
        let planes =
            self.components.into_iter().map(|component| component.into_plane(h_max, v_max)).collect();
        Ok(Picture { width: self.width, height: self.height, planes })
    }
}
