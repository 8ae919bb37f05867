//! A value while a graph runs: a tensor on the host, a Burn primitive on the device, a sequence, or nothing.
//!
//! Shapes, indices and other small integers stay on the host, so that computing them never waits for a
//! device; an operator that needs one on the device sends it there.

use super::backend::Kernels;
use super::error::OpError;
use crate::tensor::{DType, Tensor};
use burn::tensor::ops::{BoolTensor, FloatTensor, IntTensor};
use burn::tensor::{AllocationProperty, BoolStore, DType as BurnType, try_read_sync};
use burn::tensor::{Bytes as BurnBytes, Shape, TensorData, TensorMetadata};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

#[derive(Default)]
pub enum Value<B: Kernels> {
    /// A tensor of any dtype on the host. One that holds no numbers is never sent to a device.
    Host(Tensor),
    Float(FloatTensor<B>),
    Int(IntTensor<B>),
    Bool(BoolTensor<B>),
    Sequence(Sequence<B>),
    /// An optional that is empty.
    #[default]
    Nothing,
}

/// Values of one kind: tensors, or sequences of them.
pub type Sequence<B> = Arc<List<B>>;

pub struct List<B: Kernels> {
    pub items: Vec<Value<B>>,
    /// Bytes that the items take, as if none shared its memory.
    weight: usize,
}

impl<B: Kernels> List<B> {
    /// An error where the sequence would take more than `max` bytes. REQUIRES an index within it, or its end.
    pub fn insert(&mut self, index: usize, value: Value<B>, max: usize) -> Result<(), OpError> {
        let weight = self.weight.saturating_add(value.weight()).saturating_add(ITEM);
        if weight > max {
            return Err(format!("the sequence would take more than {max} bytes").into());
        }
        self.weight = weight;
        self.items.insert(index, value);
        Ok(())
    }

    /// Bytes that the items take, as if none shared its memory.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// REQUIRES an index within it.
    pub fn remove(&mut self, index: usize) {
        let value = self.items.remove(index);
        self.weight = self.weight.saturating_sub(value.weight() + ITEM);
    }
}

/// Bytes that an item takes beside its elements, so that empty ones are not free.
const ITEM: usize = 64;

impl<B: Kernels> Default for List<B> {
    fn default() -> Self {
        Self { items: Vec::new(), weight: 0 }
    }
}

impl<B: Kernels> Clone for List<B> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), weight: self.weight }
    }
}

impl<B: Kernels> Clone for Value<B> {
    fn clone(&self) -> Self {
        match self {
            Self::Host(t) => Self::Host(t.clone()),
            Self::Float(t) => Self::Float(t.clone()),
            Self::Int(t) => Self::Int(t.clone()),
            Self::Bool(t) => Self::Bool(t.clone()),
            Self::Sequence(all) => Self::Sequence(all.clone()),
            Self::Nothing => Self::Nothing,
        }
    }
}

impl<B: Kernels> Value<B> {
    /// The element type of a tensor. A sequence has that of its first tensor, float32 where it is empty; it is refused where
    /// it is used as a tensor.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Host(t) => t.dtype(),
            Self::Float(t) => from_burn(t.dtype()),
            Self::Int(t) => from_burn(t.dtype()),
            Self::Bool(_) => DType::Bool,
            Self::Sequence(all) => all.items.first().map_or(DType::F32, Value::dtype),
            Self::Nothing => DType::F32,
        }
    }

    /// The shape of a tensor; a sequence has its length.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Sequence(all) => Shape::from([all.items.len()]),
            Self::Nothing => Shape::from([0]),
            Self::Host(t) => Shape::from(t.shape()),
            Self::Float(t) => t.shape(),
            Self::Int(t) => t.shape(),
            Self::Bool(t) => t.shape(),
        }
    }

    pub fn dims(&self) -> Vec<usize> {
        self.shape().to_vec()
    }

    pub fn rank(&self) -> usize {
        match self {
            Self::Host(t) => t.shape().len(),
            Self::Float(t) => t.rank(),
            Self::Int(t) => t.rank(),
            Self::Bool(t) => t.rank(),
            Self::Sequence(_) | Self::Nothing => 1,
        }
    }

    pub fn elements(&self) -> usize {
        match self {
            Self::Host(t) => t.len(),
            other => other.shape().num_elements(),
        }
    }

    pub fn is_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// Brings it to the host; waits for the device.
    pub fn into_host(self) -> Result<Tensor, OpError> {
        let shape = self.dims();
        if shape.is_empty() && !B::ON_HOST && !self.is_host() {
            let host = self.reshaped(vec![1])?.into_host()?;
            return host.reshaped(shape).map_err(|e| e.to_string().into());
        }
        let read = match self {
            Self::Host(tensor) => return Ok(tensor),
            Self::Float(t) => try_read_sync(B::float_into_data(B::contiguous(t))),
            Self::Int(t) => try_read_sync(B::int_into_data(t)),
            Self::Bool(t) => try_read_sync(B::bool_into_data(t)),
            other => return Err(OpError::graph(format!("{other:?} where a tensor should be"))),
        };
        let data = read.ok_or_else(|| OpError::graph("the device cannot be read from here"))?;
        Ok(from_data(data.map_err(|e| OpError::graph(e.to_string()))?)?)
    }

    /// Sends it to the device, if it is not there and of a dtype that can be.
    pub fn on_device(self, device: &B::Device) -> Self {
        let Self::Host(tensor) = self else { return self };
        let dtype = tensor.dtype();
        if !dtype.is_number() {
            return Self::Host(tensor);
        }
        if tensor.shape().is_empty() && !B::ON_HOST {
            let Ok(line) = tensor.clone().reshaped(vec![1]) else { return Self::Host(tensor) };
            return Self::Host(line).on_device(device).reshaped(Vec::new()).unwrap_or(Self::Host(tensor));
        }
        let data = to_data::<B>(&tensor, device);
        match dtype {
            d if d.is_float() => Self::Float(B::float_from_data(data, device)),
            DType::Bool => Self::Bool(B::bool_from_data(data, device)),
            _ => Self::Int(B::int_from_data(data, device)),
        }
    }

    pub fn float(self, device: &B::Device) -> Result<FloatTensor<B>, OpError> {
        match self.on_device(device) {
            Self::Float(t) => Ok(t),
            other => Err(OpError::graph(format!("{other:?} where a float tensor should be"))),
        }
    }

    pub fn int(self, device: &B::Device) -> Result<IntTensor<B>, OpError> {
        match self.on_device(device) {
            Self::Int(t) => Ok(t),
            other => Err(OpError::graph(format!("{other:?} where an integer tensor should be"))),
        }
    }

    pub fn bool(self, device: &B::Device) -> Result<BoolTensor<B>, OpError> {
        match self.on_device(device) {
            Self::Bool(t) => Ok(t),
            other => Err(OpError::graph(format!("{other:?} where a bool tensor should be"))),
        }
    }

    /// REQUIRES as many elements in `shape`; checked, as Burn panics where they differ.
    pub fn reshaped(self, shape: Vec<usize>) -> Result<Self, OpError> {
        let wanted = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if wanted != Some(self.elements()) {
            return Err(format!("{:?} cannot be reshaped to {shape:?}", self.dims()).into());
        }
        if wanted == Some(0) && !self.is_host() && !B::ON_HOST {
            // Burn takes an axis of length 0 for one that stays as long as it is.
            return Tensor::from_bytes(self.dtype(), shape, Bytes::new())
                .map(Self::Host)
                .map_err(|e| e.to_string().into());
        }
        Ok(match self {
            Self::Host(t) => Self::Host(t.reshaped(shape).map_err(|e| e.to_string())?),
            Self::Float(t) => Self::Float(B::reshape(t, &shape)),
            Self::Int(t) => Self::Int(B::int_reshape(t, shape.into())),
            Self::Bool(t) => Self::Bool(B::bool_reshape(t, shape.into())),
            other => return Err(OpError::graph(format!("{other:?} where a tensor should be"))),
        })
    }

    /// Bytes that it takes, those of every tensor in a sequence.
    pub fn weight(&self) -> usize {
        match self {
            Self::Host(t) => t.weight(),
            Self::Sequence(all) => all.weight,
            Self::Nothing => 0,
            other => other.elements().saturating_mul(other.dtype().size()),
        }
    }

    pub fn is_tensor(&self) -> bool {
        !matches!(self, Self::Sequence(_) | Self::Nothing)
    }

    pub fn into_sequence(self) -> Result<Sequence<B>, OpError> {
        match self {
            Self::Sequence(all) => Ok(all),
            other => Err(OpError::graph(format!("{other:?} where a sequence should be"))),
        }
    }

    /// A value without its elements, for the text of an error that may never come.
    pub fn sketch(&self) -> Sketch {
        match self {
            Self::Sequence(all) => Sketch::Sequence(all.items.len()),
            Self::Nothing => Sketch::Nothing,
            tensor => Sketch::Tensor(tensor.dtype(), tensor.shape()),
        }
    }
}

/// A value without its elements.
pub enum Sketch {
    Tensor(DType, Shape),
    Sequence(usize),
    Nothing,
}

impl fmt::Display for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(dtype, shape) => write!(f, "{dtype}{:?}", shape.as_slice()),
            Self::Sequence(len) => write!(f, "a sequence of {len}"),
            Self::Nothing => f.write_str("an empty optional"),
        }
    }
}

/// `float32[1, 3, 64, 64]`
impl<B: Kernels> fmt::Debug for Value<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sketch())
    }
}

/// REQUIRES a dtype that a device can hold, [`DType::is_number`].
pub fn to_burn(dtype: DType) -> BurnType {
    match dtype {
        DType::F32 => BurnType::F32,
        DType::F64 => BurnType::F64,
        DType::F16 => BurnType::F16,
        DType::BF16 => BurnType::BF16,
        DType::I8 => BurnType::I8,
        DType::I16 => BurnType::I16,
        DType::I32 => BurnType::I32,
        DType::I64 => BurnType::I64,
        DType::U8 => BurnType::U8,
        DType::U16 => BurnType::U16,
        DType::U32 => BurnType::U32,
        DType::U64 => BurnType::U64,
        // The others are never sent to a device.
        _ => BurnType::Bool(BoolStore::Native),
    }
}

pub fn from_burn(dtype: BurnType) -> DType {
    match dtype {
        BurnType::F64 => DType::F64,
        BurnType::F16 => DType::F16,
        BurnType::BF16 => DType::BF16,
        BurnType::I64 => DType::I64,
        BurnType::I32 => DType::I32,
        BurnType::I16 => DType::I16,
        BurnType::I8 => DType::I8,
        BurnType::U64 => DType::U64,
        BurnType::U32 => DType::U32,
        BurnType::U16 => DType::U16,
        BurnType::U8 => DType::U8,
        BurnType::Bool(_) => DType::Bool,
        // Quantised tensors are never made here.
        BurnType::F32 | BurnType::Flex32 | BurnType::QFloat(_) => DType::F32,
    }
}

impl<B: Kernels> Value<B> {
    /// Makes one tensor from the bytes of its rows, each copied once, or not at all where there is one row. Floats go
    /// to the device; the rest waits on the host for an operator that wants it there.
    pub fn from_parts(
        dtype: DType,
        shape: Vec<usize>,
        parts: &[Bytes],
        device: &B::Device,
    ) -> Result<Self, String> {
        if let [only] = parts {
            let tensor = Tensor::from_bytes(dtype, shape, only.clone()).map_err(|e| e.to_string())?;
            let host = Self::Host(tensor);
            return Ok(if dtype.is_float() { host.on_device(device) } else { host });
        }
        if dtype.is_float() {
            let joined = match dtype.size() {
                8 => BurnBytes::from_elems(joined::<u64>(parts)),
                4 => BurnBytes::from_elems(joined::<u32>(parts)),
                _ => BurnBytes::from_elems(joined::<u16>(parts)),
            };
            let data = TensorData::from_bytes(joined, Shape::from(shape), to_burn(dtype));
            return Ok(Self::Float(B::float_from_data(data, device)));
        }
        let tensor = Tensor::from_bytes(dtype, shape, Bytes::from(parts.concat()));
        tensor.map(Self::Host).map_err(|e| e.to_string())
    }
}

fn joined<T: bytemuck::Pod>(parts: &[Bytes]) -> Vec<T> {
    let size = size_of::<T>();
    let mut joined = Vec::with_capacity(parts.iter().map(|p| p.len() / size).sum());
    for part in parts {
        match bytemuck::try_cast_slice(part) {
            Ok(aligned) => joined.extend_from_slice(aligned),
            Err(_) => joined.extend(bytemuck::pod_collect_to_vec::<u8, T>(part)),
        }
    }
    joined
}

/// Bytes from which on a tensor of the host is shared with the device. Of a smaller one the memory that it lies
/// in may be much larger than itself.
const SHARED: usize = 32 << 10;

/// The bytes of a tensor in Burn's own form, aligned for the dtype: shared, or copied where that cannot be.
fn to_data<B: Kernels>(tensor: &Tensor, device: &B::Device) -> TensorData {
    let shape = Shape::from(tensor.shape());
    let bytes = tensor.bytes();
    if tensor.dtype() == DType::Bool {
        let data = TensorData::from_bytes_vec(bytes.to_vec(), shape, BurnType::Bool(BoolStore::Native));
        return match burn::tensor::get_device_settings::<B>(device).bool_dtype.into() {
            BurnType::Bool(BoolStore::Native) => data,
            BurnType::Bool(store) => data.convert_dtype(BurnType::Bool(store)),
            _ => data,
        };
    }
    let size = tensor.dtype().size();
    if bytes.len() >= SHARED && (bytes.as_ptr() as usize).is_multiple_of(size) {
        let bytes = BurnBytes::from_shared(bytes.clone(), AllocationProperty::Native);
        return TensorData::from_bytes(bytes, shape, to_burn(tensor.dtype()));
    }
    let bytes = match size {
        8 => BurnBytes::from_elems::<u64>(bytemuck::pod_collect_to_vec(bytes)),
        4 => BurnBytes::from_elems::<u32>(bytemuck::pod_collect_to_vec(bytes)),
        2 => BurnBytes::from_elems::<u16>(bytemuck::pod_collect_to_vec(bytes)),
        _ => BurnBytes::from_bytes_vec(bytes.to_vec()),
    };
    TensorData::from_bytes(bytes, shape, to_burn(tensor.dtype()))
}

/// Takes what a device gave over, without a copy where it is whole.
fn from_data(data: TensorData) -> Result<Tensor, String> {
    let shape = data.shape.to_vec();
    let data = match data.dtype {
        BurnType::Bool(BoolStore::U32) => data.convert_dtype(BurnType::Bool(BoolStore::Native)),
        BurnType::Flex32 => data.convert_dtype(BurnType::F32),
        _ => data,
    };
    let dtype = from_burn(data.dtype);
    let bytes = Bytes::from_owner(Owned(data.bytes));
    Tensor::from_bytes(dtype, shape, bytes).map_err(|e| e.to_string())
}

struct Owned(BurnBytes);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
