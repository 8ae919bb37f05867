//! `format = "npy"`: a NumPy file. The array is the item; it has no batch axis.

use crate::codec::npy::Header;
use crate::codec::options::{self, Shape};
use crate::codec::payload;
use crate::diagnostic::Report;
use crate::plan::{Decode, DecodeError, Decoded, Example, Mend, Payload, TensorType};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor, byte_len};
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct NpyDecode {
    /// The decode's name, after which the file in the example of a request is called.
    #[serde(skip)]
    name: String,
    /// The dtype that the file must have, or where `cast` is set, is converted to.
    dtype: Option<DType>,
    cast: bool,
    shape: Option<Shape>,
}

/// The options that decide what type the decode gives.
pub const DECIDE_TYPE: &[&str] = &["dtype", "shape"];

pub fn read(codec: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Arc<dyn Decode>> {
    let dtype = options::dtype(options, report).map(|d| d.value);
    let shape = options::shape(options, report).map(|s| s.value);
    let cast = options.bool("cast", report);
    if let (Some(cast), false) = (&cast, options.has("dtype")) {
        report.push(
            crate::diagnostic::Diagnostic::error(format!("`cast` in {} needs `dtype`", options.what()))
                .at(&cast.place, "to what?")
                .help("add the dtype that the model takes: `dtype = \"float32\"`"),
        );
    }
    let cast = cast.is_some_and(|c| c.value);
    Some(Arc::new(NpyDecode { name: codec.name.value.clone(), dtype, cast, shape }))
}

/// The array of an npy file, whatever its dtype and shape.
pub fn tensor(file: Bytes) -> Result<Tensor, DecodeError> {
    let any = NpyDecode { name: String::new(), dtype: None, cast: false, shape: None };
    any.decode(&Payload::Bytes(file), false).map(|decoded| decoded.tensor)
}

impl Decode for NpyDecode {
    fn format(&self) -> &'static str {
        "npy"
    }

    fn produces(&self) -> TensorType {
        TensorType { dtype: self.dtype, dims: self.shape.clone() }
    }

    fn mend(&self, wanted: &TensorType) -> Vec<Mend> {
        options::mend_type(&self.produces(), wanted)
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["npy"]
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn example(&self) -> Example {
        Example::File(format!("{}.npy", self.name))
    }

    /// Elements are copied to be put in order, and may become of another type; they have a byte each at least.
    fn working_memory(&self, payload: &Payload) -> u64 {
        let cast = self.dtype.filter(|_| self.cast).map_or(0, |dtype| dtype.size());
        (payload.len() as u64).saturating_mul(1 + cast as u64)
    }

    fn decode(&self, payload: &Payload, _: bool) -> Result<Decoded, DecodeError> {
        let bytes = payload::binary(payload, "an npy file")?;
        if !crate::codec::npy::is_npy(&bytes) {
            return Err(DecodeError::WrongType("not an npy file".into()));
        }
        let invalid = |text: String| DecodeError::Invalid(format!("the npy file {text}"));
        let header = Header::read(&bytes).map_err(invalid)?;
        if let Some(wanted) = self.shape.as_ref().filter(|s| !options::shape_fits(&header.shape, s)) {
            let wanted = options::show_shape(wanted);
            return Err(invalid(format!("has shape {:?}, where {wanted} is wanted", header.shape)));
        }
        if let Some(wanted) = self.dtype.filter(|d| *d != header.dtype && !self.cast) {
            let help = "convert it, or set `cast = true`";
            return Err(invalid(format!("holds {}, where {wanted} is wanted; {help}", header.dtype)));
        }
        let data = bytes.slice(header.start..);
        match byte_len(header.dtype, &header.shape) {
            Some(0) if !options::is_modest(&header.shape) => {
                return Err(invalid(format!(
                    "has no elements, and axes of its shape {:?} are too long",
                    header.shape
                )));
            }
            Some(size) if size == data.len() => {}
            size => {
                let size = size.map_or("more than fit in memory".into(), |s| s.to_string());
                return Err(invalid(format!(
                    "has {} bytes of elements, where {}{:?} takes {size}",
                    data.len(),
                    header.dtype,
                    header.shape,
                )));
            }
        }
        let tensor = elements(&header, data).map_err(|e| invalid(format!("cannot be read: {e}")))?;
        let tensor = match self.dtype {
            Some(dtype) if dtype != tensor.dtype() => cast(&tensor, dtype).map_err(invalid)?,
            _ => tensor,
        };
        Ok(Decoded { tensor, origin: None })
    }
}

/// The elements in C order and in the machine's byte order.
fn elements(header: &Header, mut data: Bytes) -> Result<Tensor, crate::tensor::SizeMismatch> {
    let size = header.dtype.size();
    if header.big_endian != cfg!(target_endian = "big") && size > 1 {
        let mut swapped = data.to_vec();
        swapped.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        data = swapped.into();
    }
    if header.dtype == DType::Bool && data.iter().any(|b| *b > 1) {
        data = data.iter().map(|b| u8::from(*b != 0)).collect();
    }
    if header.fortran_order && header.shape.len() > 1 {
        data = to_c_order(&data, size, &header.shape).into();
    }
    Tensor::from_bytes(header.dtype, header.shape.clone(), data)
}

/// Elements whose first axis varies fastest to those whose last axis does.
fn to_c_order(data: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    // How far apart neighbours along each axis lie in the file.
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, dim| {
            let own = *stride;
            *stride *= dim;
            Some(own)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut out = Vec::with_capacity(data.len());
    while out.len() < data.len() {
        out.extend_from_slice(&data[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}

/// Converts to another dtype, by way of float64: floats are rounded, integers must fit.
fn cast(tensor: &Tensor, dtype: DType) -> Result<Tensor, String> {
    use crate::codec::element::FromNumber;
    fn to<T: FromNumber>(tensor: &Tensor) -> Result<Tensor, String> {
        let values = tensor.to_f64();
        let elements = values
            .iter()
            .enumerate()
            .map(|(index, v)| {
                // What is not finite stays so where the dtype can hold it.
                let cast = if v.is_finite() { T::float(*v).ok() } else { T::not_finite(*v) };
                cast.ok_or_else(|| format!("has {v} at element {index}, which {} does not hold", T::DTYPE))
            })
            .collect::<Result<Vec<T>, _>>()?;
        Tensor::from_vec(tensor.shape().to_vec(), elements).map_err(|e| e.to_string())
    }
    match dtype {
        DType::F32 => to::<f32>(tensor),
        DType::F64 => to::<f64>(tensor),
        DType::F16 => to::<half::f16>(tensor),
        DType::BF16 => to::<half::bf16>(tensor),
        DType::I8 => to::<i8>(tensor),
        DType::I16 => to::<i16>(tensor),
        DType::I32 => to::<i32>(tensor),
        DType::I64 => to::<i64>(tensor),
        DType::U8 => to::<u8>(tensor),
        DType::U16 => to::<u16>(tensor),
        DType::U32 => to::<u32>(tensor),
        DType::U64 => to::<u64>(tensor),
        DType::Bool => {
            let truths = tensor.to_f64().into_iter().map(|v| v != 0.0).collect();
            Tensor::from_bools(tensor.shape().to_vec(), truths).map_err(|e| e.to_string())
        }
        other => Err(format!("cannot become {other}")),
    }
}
