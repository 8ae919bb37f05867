//! Strips and tiles: bytes of the file to rows of samples, whatever they are packed with.

use super::directory::{Directory, tag};
use super::fax::{Kind, Rows};
use super::{Fault, jpeg};
use std::io::Read;

/// What chunks are packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    None,
    Fax(Kind),
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

impl Packing {
    pub fn read(directory: &Directory<'_>) -> Result<Self, Fault> {
        let options = directory.number(tag::T4_OPTIONS).unwrap_or(0);
        Ok(match directory.number(tag::COMPRESSION).unwrap_or(1) {
            1 => Self::None,
            2 => Self::Fax(Kind::Huffman),
            3 => Self::Fax(Kind::Group3 { two_dimensional: options & 1 == 1 }),
            4 => Self::Fax(Kind::Group4),
            5 => Self::Lzw,
            6 => return Err(Fault::Unsupported("the old kind of JPEG in a TIFF".into())),
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            other => return Err(Fault::Unsupported(format!("a TIFF with compression {other}"))),
        })
    }
}

/// How the samples of a row are told by those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    None,
    Difference,
    Float,
}

/// What all chunks of a picture have in common.
pub struct Layout<'a> {
    pub packing: Packing,
    pub predictor: Predictor,
    pub big_endian: bool,
    /// Bits of a byte are the wrong way round.
    pub reversed: bool,
    /// The number of bits of one sample.
    pub bits: usize,
    /// Samples of one pixel in a chunk.
    pub samples: usize,
    pub jpeg_tables: &'a [u8],
}

/// Rows of one chunk, as the file has them: samples of `bits` bits, those of more than 8 in the file's byte order.
pub enum Chunk<'a> {
    Bytes(Box<dyn Read + 'a>),
    Fax(Rows<'a>),
    Levels { levels: Vec<u8>, at: usize },
}

impl<'a> Chunk<'a> {
    /// `width` and `height` are those of the chunk.
    pub fn open(layout: &Layout<'a>, data: &'a [u8], width: u32, height: u32) -> Result<Self, Fault> {
        let reversed = layout.reversed && layout.packing != Packing::Jpeg;
        let bytes = Turned { data, reversed };
        Ok(match layout.packing {
            Packing::None => Self::Bytes(Box::new(bytes)),
            Packing::Deflate => Self::Bytes(Box::new(flate2::read::ZlibDecoder::new(bytes))),
            Packing::PackBits => Self::Bytes(Box::new(PackBits { bytes, left: Run::Literal(0) })),
            Packing::Lzw => {
                // Files of before 1988 have the bits of a code the other way round; their first code tells it.
                if data.starts_with(&[0]) && data.get(1).is_some_and(|byte| byte & 1 == 1) {
                    return Err(Fault::Unsupported("the old kind of LZW in a TIFF".into()));
                }
                let decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
                let data = if reversed {
                    data.iter().map(|byte| byte.reverse_bits()).collect()
                } else {
                    data.into()
                };
                Self::Bytes(Box::new(Lzw { data, at: 0, decoder }))
            }
            Packing::Fax(kind) => {
                if layout.bits != 1 || layout.samples != 1 {
                    return Err(Fault::Corrupt("a fax page with more than black and white"));
                }
                let bytes = data.iter().map(move |byte| if reversed { byte.reverse_bits() } else { *byte });
                Self::Fax(Rows::new(bytes, kind, width))
            }
            Packing::Jpeg => {
                let picture = jpeg::read_planes(data, layout.jpeg_tables, width, height)?;
                if layout.bits != 8
                    || picture.planes.len() != layout.samples
                    || picture.width != width as usize
                {
                    return Err(Fault::Corrupt("a JPEG in it is of another kind"));
                }
                let mut levels = vec![];
                jpeg::rows::append(
                    &picture.planes,
                    jpeg::rows::Colors::Raw,
                    picture.width,
                    picture.height,
                    &mut levels,
                );
                Self::Levels { levels, at: 0 }
            }
        })
    }

    /// The next row into `row`, whose predictions are undone.
    pub fn next(&mut self, layout: &Layout<'_>, row: &mut [u8]) -> Result<(), Fault> {
        match self {
            Self::Bytes(bytes) => bytes.read_exact(row).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => Fault::Truncated,
                _ => Fault::Corrupt("its packed pixels"),
            })?,
            Self::Fax(rows) => rows.next(row)?,
            Self::Levels { levels, at } => {
                row.copy_from_slice(levels.get(*at..*at + row.len()).ok_or(Fault::Truncated)?);
                *at += row.len();
            }
        }
        match (layout.packing, layout.predictor) {
            (Packing::Lzw | Packing::Deflate, Predictor::Difference) => add_up(layout, row)?,
            (Packing::Lzw | Packing::Deflate, Predictor::Float) => add_up_floats(layout, row),
            _ => {}
        }
        Ok(())
    }
}

/// Undoes the prediction: each sample is the difference to that of the pixel before.
fn add_up(layout: &Layout<'_>, row: &mut [u8]) -> Result<(), Fault> {
    let (samples, size) = (layout.samples, layout.bits / 8);
    match layout.bits {
        8 => {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
        }
        16 | 32 | 64 => {
            let number = |bytes: &[u8]| {
                let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
                if layout.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
            };
            for at in samples..row.len() / size {
                let before = number(&row[(at - samples) * size..][..size]);
                let own = &mut row[at * size..][..size];
                let sum = number(own).wrapping_add(before);
                if layout.big_endian {
                    own.copy_from_slice(&sum.to_be_bytes()[8 - size..]);
                } else {
                    own.copy_from_slice(&sum.to_le_bytes()[..size]);
                }
            }
        }
        bits => return Err(Fault::Unsupported(format!("a TIFF that predicts samples of {bits} bits"))),
    }
    Ok(())
}

/// Bytes are differences, and those of one significance stand together, the highest first (Adobe's Technical
/// Note 3).
fn add_up_floats(layout: &Layout<'_>, row: &mut [u8]) {
    let (samples, size) = (layout.samples, layout.bits / 8);
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let apart = row.to_vec();
    let count = row.len() / size.max(1);
    for (index, number) in row.chunks_exact_mut(size.max(1)).enumerate() {
        for (byte, to) in number.iter_mut().enumerate() {
            *to = apart[byte * count + index];
        }
        if !layout.big_endian {
            number.reverse();
        }
    }
}

/// Bytes of the file, their bits turned round where the file says so.
struct Turned<'a> {
    data: &'a [u8],
    reversed: bool,
}

impl Read for Turned<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.data.read(to)?;
        if self.reversed {
            to[..read].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        Ok(read)
    }
}

struct Lzw<'a> {
    data: std::borrow::Cow<'a, [u8]>,
    at: usize,
    decoder: weezl::decode::Decoder,
}

impl Read for Lzw<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        while !to.is_empty() {
            let result = self.decoder.decode_bytes(&self.data[self.at..], to);
            self.at += result.consumed_in;
            let status = result.status.map_err(std::io::Error::other)?;
            if result.consumed_out > 0 || !matches!(status, weezl::LzwStatus::Ok) {
                return Ok(result.consumed_out);
            }
        }
        Ok(0)
    }
}

/// Apple's run lengths (TIFF 6.0, section 9).
struct PackBits<'a> {
    bytes: Turned<'a>,
    left: Run,
}

enum Run {
    /// So many bytes follow.
    Literal(usize),
    Repeat(u8, usize),
}

impl Read for PackBits<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match &mut self.left {
                Run::Literal(0) | Run::Repeat(_, 0) => {
                    let mut head = [0];
                    if self.bytes.read(&mut head)? == 0 {
                        return Ok(0);
                    }
                    match head[0] {
                        count @ 0..128 => self.left = Run::Literal(usize::from(count) + 1),
                        128 => {}
                        count => {
                            let mut level = [0];
                            self.bytes.read_exact(&mut level)?;
                            self.left = Run::Repeat(level[0], 257 - usize::from(count));
                        }
                    }
                }
                Run::Literal(left) => {
                    let most = to.len().min(*left);
                    let read = self.bytes.read(&mut to[..most])?;
                    *left -= read;
                    return Ok(read);
                }
                Run::Repeat(level, left) => {
                    let count = to.len().min(*left);
                    to[..count].fill(*level);
                    *left -= count;
                    return Ok(count);
                }
            }
        }
    }
}
