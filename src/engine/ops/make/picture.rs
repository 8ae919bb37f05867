//! ImageDecoder: the bytes of a picture's file to pixels, rows of `[height, width, channels]`. What cannot be read
//! is an empty picture, as the standard asks. JPEG 2000 and PNM are not read.

use crate::engine::backend::Accelerator;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use image::{ImageReader, Limits};
use std::io::Cursor;

#[derive(Clone, Copy, Debug)]
enum Pixels {
    Rgb,
    Bgr,
    Gray,
}

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let pixels = match site.node.attributes.text("pixel_format", "RGB")? {
        "RGB" => Pixels::Rgb,
        "BGR" => Pixels::Bgr,
        "Grayscale" => Pixels::Gray,
        other => return Err(format!("pixel_format {other:?} is not known")),
    };
    let channels = if matches!(pixels, Pixels::Gray) { 1 } else { 3 };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let file = inputs.take(0)?.into_host()?;
        if file.dtype() != DType::U8 || file.shape().len() != 1 {
            return Err(format!("{file:?} where the bytes of a file should be").into());
        }
        let (height, width, cells) = match decode(file.bytes(), cx.max_bytes) {
            Some(picture) => (picture.height() as usize, picture.width() as usize, shown(picture, pixels)),
            None => (0, 0, Vec::new()),
        };
        one(Value::Host(host::tensor(DType::U8, vec![height, width, channels], cells)?))
    }))
}

fn decode(file: &[u8], most: usize) -> Option<image::RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    // What is decoded, and the same again as RGB.
    limits.max_alloc = Some(most as u64 / 2);
    reader.limits(limits);
    Some(reader.decode().ok()?.into_rgb8())
}

fn shown(picture: image::RgbImage, pixels: Pixels) -> Vec<u8> {
    let mut cells = picture.into_raw();
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
