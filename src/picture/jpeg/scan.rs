//! One scan of a JPEG: the coefficients of its blocks, sequential (T.81, annex F) or a part of a progression
//! (annex G).

use super::huffman::{Bits, Table};
use super::{Component, Fault, Frame, Tables, idct};

/// The place in natural order of each position in a block's zigzag.
pub const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

type Block = [i16; 64];

/// The header of a scan.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Each component's index in the frame and its tables, DC and AC.
    pub parts: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient of the zigzag, and the bits that are not yet told: before this scan (0 in
    /// the first of these coefficients), and after it.
    pub first: usize,
    pub last: usize,
    pub high: u32,
    pub low: u32,
}

/// The tables of one component of a scan.
struct Part<'a> {
    component: usize,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
}

/// Reads the scan whose data begins at `at` and gives the place after it.
pub fn read(frame: &mut Frame, scan: &Scan, tables: &Tables, data: &[u8], at: usize) -> Result<usize, Fault> {
    let wants_dc = scan.first == 0 && scan.high == 0;
    let wants_ac = scan.last > 0;
    let table = |set: &'_ [Option<Table>; 4], index: usize, wanted: bool| match &set[index] {
        _ if !wanted => Ok(None),
        Some(table) => Ok(Some(table.clone())),
        None => Err(Fault::Corrupt("a Huffman table is missing")),
    };
    let owned = scan
        .parts
        .iter()
        .map(|(component, dc, ac)| {
            Ok((*component, table(&tables.dc, *dc, wants_dc)?, table(&tables.ac, *ac, wants_ac)?))
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    let parts: Vec<Part<'_>> = owned
        .iter()
        .map(|(component, dc, ac)| Part { component: *component, dc: dc.as_ref(), ac: ac.as_ref() })
        .collect();
    if parts.iter().any(|part| part.dc.is_some_and(|table| !table.is_for_dc())) {
        return Err(Fault::Corrupt("a Huffman table"));
    }
    let mut reader = Reader {
        bits: Bits::new(data, at),
        predictions: [0; 4],
        end_of_band: 0,
        interval: tables.restart_interval,
        units_left: tables.restart_interval,
        restarts: 0,
    };
    if frame.progressive {
        reader.progressive(frame, scan, &parts)?;
    } else {
        reader.sequential(frame, &parts)?;
    }
    Ok(reader.bits.position())
}

struct Reader<'a> {
    bits: Bits<'a>,
    /// The last DC value of each component of the scan.
    predictions: [i32; 4],
    /// How many blocks to come have nothing more in this band.
    end_of_band: u32,
    interval: usize,
    units_left: usize,
    restarts: usize,
}

impl Reader<'_> {
    /// REQUIRED before each unit: goes over the restart marker that is due.
    #[inline(always)]
    fn begin_unit(&mut self) -> Result<(), Fault> {
        if self.interval > 0 {
            if self.units_left == 0 {
                self.bits.restart(self.restarts)?;
                self.restarts += 1;
                self.units_left = self.interval;
                self.predictions = [0; 4];
                self.end_of_band = 0;
            }
            self.units_left -= 1;
        }
        Ok(())
    }

    /// Blocks become levels row by row, so that no more than a row of coefficients is held.
    fn sequential(&mut self, frame: &mut Frame, parts: &[Part<'_>]) -> Result<(), Fault> {
        let mut rows: Vec<Vec<Block>> = parts
            .iter()
            .map(|part| {
                let component = &frame.components[part.component];
                let height = if parts.len() == 1 { 1 } else { component.v };
                vec![[0; 64]; component.padded_width * height]
            })
            .collect();
        if let [part] = parts {
            let blocks = &mut rows[0];
            let component = &mut frame.components[part.component];
            for y in 0..component.blocks_high {
                blocks.fill([0; 64]);
                for block in &mut blocks[..component.blocks_wide] {
                    self.begin_unit()?;
                    self.block(0, part, block)?;
                }
                to_levels(component, y, blocks);
            }
            return Ok(());
        }
        for unit_row in 0..frame.units_high {
            rows.iter_mut().for_each(|blocks| blocks.fill([0; 64]));
            for unit in 0..frame.units_wide {
                self.begin_unit()?;
                for (position, (part, blocks)) in parts.iter().zip(&mut rows).enumerate() {
                    let Component { h, v, padded_width, .. } = frame.components[part.component];
                    for y in 0..v {
                        for x in 0..h {
                            self.block(position, part, &mut blocks[y * padded_width + unit * h + x])?;
                        }
                    }
                }
            }
            for (part, blocks) in parts.iter().zip(&rows) {
                let component = &mut frame.components[part.component];
                let first = unit_row * component.v;
                for (y, blocks) in blocks.chunks_exact(component.padded_width).enumerate() {
                    to_levels(component, first + y, blocks);
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn block(&mut self, position: usize, part: &Part<'_>, block: &mut Block) -> Result<(), Fault> {
        let (Some(dc), Some(ac)) = (part.dc, part.ac) else {
            return Err(Fault::Corrupt("a Huffman table is missing"));
        };
        let size = self.bits.symbol(dc)?;
        let dc = &mut self.predictions[position];
        *dc = dc.wrapping_add(self.bits.signed(u32::from(size)));
        block[0] = *dc as i16;
        let mut at = 1;
        while at < 64 {
            let symbol = self.bits.symbol(ac)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run != 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += run;
            let value = self.bits.signed(size);
            *place(block, at)? = value as i16;
            at += 1;
        }
        self.bits.check()
    }

    fn progressive(&mut self, frame: &mut Frame, scan: &Scan, parts: &[Part<'_>]) -> Result<(), Fault> {
        if let [part] = parts {
            let component = &mut frame.components[part.component];
            let (wide, high) = (component.blocks_wide, component.blocks_high);
            let rows = component.coefficients.chunks_exact_mut(component.padded_width);
            for row in rows.take(high) {
                for block in &mut row[..wide] {
                    self.begin_unit()?;
                    self.refine(0, part, scan, block)?;
                }
            }
            return Ok(());
        }
        for unit_row in 0..frame.units_high {
            for unit in 0..frame.units_wide {
                self.begin_unit()?;
                for (position, part) in parts.iter().enumerate() {
                    let component = &mut frame.components[part.component];
                    for y in unit_row * component.v..(unit_row + 1) * component.v {
                        for x in unit * component.h..(unit + 1) * component.h {
                            let block = &mut component.coefficients[y * component.padded_width + x];
                            self.refine(position, part, scan, block)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What one scan of a progression tells about a block.
    #[inline(always)]
    fn refine(
        &mut self,
        position: usize,
        part: &Part<'_>,
        scan: &Scan,
        block: &mut Block,
    ) -> Result<(), Fault> {
        match (scan.first, scan.high) {
            (0, 0) => {
                let dc = part.dc.ok_or(Fault::Corrupt("a Huffman table is missing"))?;
                let size = self.bits.symbol(dc)?;
                let prediction = &mut self.predictions[position];
                *prediction = prediction.wrapping_add(self.bits.signed(u32::from(size)));
                block[0] = (*prediction << scan.low) as i16;
            }
            (0, _) => {
                if self.bits.bit() {
                    block[0] |= 1 << scan.low;
                }
            }
            (_, high) => {
                let ac = part.ac.ok_or(Fault::Corrupt("a Huffman table is missing"))?;
                if high == 0 {
                    self.first_of_band(scan, ac, block)?;
                } else {
                    self.more_of_band(scan, ac, block)?;
                }
            }
        }
        self.bits.check()
    }

    #[inline(always)]
    fn first_of_band(&mut self, scan: &Scan, ac: &Table, block: &mut Block) -> Result<(), Fault> {
        if self.end_of_band > 0 {
            self.end_of_band -= 1;
            return Ok(());
        }
        let mut at = scan.first;
        while at <= scan.last {
            let symbol = self.bits.symbol(ac)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (run, size) {
                (15, 0) => at += 16,
                (run, 0) => {
                    self.end_of_band = (1 << run) - 1 + self.bits.take(run);
                    break;
                }
                (run, size) => {
                    at += run as usize;
                    let value = self.bits.signed(size);
                    *place(block, at)? = (value << scan.low) as i16;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Adds a bit to the coefficients that are not 0, and tells some that were.
    fn more_of_band(&mut self, scan: &Scan, ac: &Table, block: &mut Block) -> Result<(), Fault> {
        let one = 1_i16 << scan.low;
        let mut at = scan.first;
        if self.end_of_band == 0 {
            while at <= scan.last {
                let symbol = self.bits.symbol(ac)?;
                let (mut run, size) = (u32::from(symbol >> 4), symbol & 15);
                let mut new = 0;
                match (run, size) {
                    (15, 0) => {}
                    (run, 0) => {
                        self.end_of_band = (1 << run) + self.bits.take(run);
                        break;
                    }
                    (_, 1) => new = if self.bits.bit() { one } else { -one },
                    _ => return Err(Fault::Corrupt("a Huffman code")),
                }
                while at <= scan.last {
                    let coefficient = place(block, at)?;
                    if *coefficient != 0 {
                        self.add_bit(coefficient, one);
                    } else if run == 0 {
                        break;
                    } else {
                        run -= 1;
                    }
                    at += 1;
                }
                if new != 0 {
                    if at > scan.last {
                        return Err(Fault::Corrupt("a run of zeros"));
                    }
                    *place(block, at)? = new;
                }
                at += 1;
            }
        }
        if self.end_of_band > 0 {
            for position in at..=scan.last {
                let coefficient = place(block, position)?;
                if *coefficient != 0 {
                    self.add_bit(coefficient, one);
                }
            }
            self.end_of_band -= 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn add_bit(&mut self, coefficient: &mut i16, one: i16) {
        if self.bits.bit() && *coefficient & one == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient > 0 { one } else { -one });
        }
    }
}

/// A coefficient by its position in the zigzag.
#[inline(always)]
fn place(block: &mut Block, at: usize) -> Result<&mut i16, Fault> {
    let natural = ZIGZAG.get(at).ok_or(Fault::Corrupt("a run of zeros"))?;
    Ok(&mut block[*natural])
}

/// Puts a row of blocks into the component's plane.
pub fn to_levels(component: &mut Component, row: usize, blocks: &[Block]) {
    let stride = component.padded_width * 8;
    let levels = &mut component.levels[row * 8 * stride..][..8 * stride];
    idct::blocks_to_levels(blocks, &component.quant, stride, levels);
}
