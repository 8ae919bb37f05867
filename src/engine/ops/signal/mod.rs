//! Windows, Fourier transforms and mel weights. Computed in double precision on the host.

mod fft;
mod mel;
mod transform;
mod window;

use super::{Inputs, Registry};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::host::{self, Number};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("BlackmanWindow", 17, |site| window::build(site, window::Kind::Blackman));
    r.op("HammingWindow", 17, |site| window::build(site, window::Kind::Hamming));
    r.op("HannWindow", 17, |site| window::build(site, window::Kind::Hann));
    r.op("DFT", 17, transform::dft);
    r.op("STFT", 17, transform::stft);
    r.op("MelWeightMatrix", 17, mel::build);
}

/// The one element of an input.
fn scalar<B: Kernels>(inputs: &mut Inputs<B>, index: usize) -> Result<Option<Number>, OpError> {
    inputs.optional(index).map(|v| Ok(host::only(&v.into_host()?)?)).transpose()
}

/// The one element of an input, as a size.
fn size<B: Kernels>(inputs: &mut Inputs<B>, index: usize) -> Result<Option<usize>, OpError> {
    let Some(number) = scalar(inputs, index)? else { return Ok(None) };
    let number = number.as_i64();
    usize::try_from(number).map(Some).map_err(|_| format!("{number} is not a size").into())
}
