//! ImageDecoder: the bytes of a picture's file to pixels, rows of `[height, width, channels]`. What cannot be read
//! is an empty picture, as the standard asks. JPEG 2000 and PNM are not read.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::picture::{Limits, read_stored};
use crate::tensor::DType;

#[derive(Clone, Copy, Debug)]
enum Pixels {
    Rgb,
    Bgr,
    Gray,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let pixels = site.node.attributes.choice(
        "pixel_format",
        "RGB",
        &[("RGB", Pixels::Rgb), ("BGR", Pixels::Bgr), ("Grayscale", Pixels::Gray)],
    )?;
    let channels = if matches!(pixels, Pixels::Gray) { 1 } else { 3 };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let file = inputs.take(0)?.into_host()?;
        if file.dtype() != DType::U8 || file.shape().len() != 1 {
            return Err(format!("{file:?} where the bytes of a file should be").into());
        }
        let (height, width, cells) = match decode(file.bytes(), cx.max_bytes) {
            Some((width, height, cells)) => (height as usize, width as usize, shown(cells, pixels)),
            None => (0, 0, Vec::new()),
        };
        one(Value::Host(host::tensor(DType::U8, vec![height, width, channels], cells)?))
    }))
}

/// Width, height and RGB.
fn decode(file: &[u8], most: usize) -> Option<(u32, u32, Vec<u8>)> {
    // Decoders take as much again as they give.
    let limits = Limits { pixels: most as u64 / 6, side: u32::MAX };
    let mut cells = vec![];
    let (width, height, _) = read_stored(file, limits, None, &mut cells).ok()?;
    Some((width, height, cells))
}

fn shown(mut cells: Vec<u8>, pixels: Pixels) -> Vec<u8> {
    match pixels {
        Pixels::Rgb => cells,
        Pixels::Bgr => {
            cells.chunks_exact_mut(3).for_each(|p| p.swap(0, 2));
            cells
        }
        // ITU-R 601, in sixteenths of a bit as OpenCV and Pillow count.
        Pixels::Gray => cells
            .chunks_exact(3)
            .map(|p| {
                let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
                ((r * 19595 + g * 38470 + b * 7471 + (1 << 15)) >> 16) as u8
            })
            .collect(),
    }
}
