//! BitCast: the same bits read as another type of as many.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use bytes::Bytes;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let code = site.node.attributes.find_int("to")?.copied().ok_or("attribute \"to\" is missing")?;
    let dtype = host::dtype_of(code)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        if x.strings().is_some() || dtype.bits().is_none() || x.dtype().bits() != dtype.bits() {
            return Err(format!("{x:?} has not as many bits as {dtype}").into());
        }
        let bytes = match dtype.bits() {
            // An element takes a byte, whose upper bits are the sign's or 0.
            Some(bits) if bits < 8 => {
                let unused = 8 - bits as u32;
                let signed = matches!(dtype, DType::I4 | DType::I2);
                let read = |b: &u8| {
                    let top = b << unused;
                    if signed { (top as i8 >> unused) as u8 } else { top >> unused }
                };
                Bytes::from(x.bytes().iter().map(read).collect::<Vec<u8>>())
            }
            _ if dtype == DType::Bool => {
                Bytes::from(x.bytes().iter().map(|b| u8::from(*b != 0)).collect::<Vec<u8>>())
            }
            _ => x.bytes().clone(),
        };
        one(Value::Host(Tensor::from_bytes(dtype, x.shape().to_vec(), bytes).map_err(|e| e.to_string())?))
    }))
}
