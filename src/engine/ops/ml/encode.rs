//! LabelEncoder, OneHotEncoder, CategoryMapper: categories to numbers and to one another.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::onnx::{Attribute, Attributes};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// A category: one of a string, a whole number, or a number by its bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(Arc<str>),
    Int(i128),
    Float(u64),
}

fn key(number: Number) -> Key {
    match number {
        Number::Int(v) => Key::Int(v),
        // All NaN are one, and so are both zeros.
        Number::Float(v) if v.is_nan() => Key::Float(f64::NAN.to_bits()),
        Number::Float(v) => Key::Float((v + 0.0).to_bits()),
    }
}

fn keys(tensor: &Tensor) -> Vec<Key> {
    match tensor.strings() {
        Some(strings) => strings.iter().cloned().map(Key::Text).collect(),
        None => host::numbers(tensor).map(key).collect(),
    }
}

/// A list of any kind among the attributes, as a tensor: `<what>_tensor`, `<what>_strings` and their like.
fn list(attributes: &Attributes, what: &str) -> Result<Option<Tensor>, String> {
    for suffix in ["tensor", "strings", "int64s", "floats"] {
        let tensor = match attributes.get(&format!("{what}_{suffix}")) {
            Some(Attribute::Tensor(tensor)) => tensor.clone(),
            Some(Attribute::Texts(v)) => host::texts(vec![v.len()], v.clone())?,
            Some(Attribute::Ints(v)) => host::from_ints(v)?,
            Some(Attribute::Floats(v)) => host::tensor(DType::F32, vec![v.len()], v.clone())?,
            _ => continue,
        };
        if !tensor.is_empty() {
            return Ok(Some(tensor));
        }
    }
    Ok(None)
}

/// What a category that is not among the keys becomes, of the dtype of the values.
fn default(attributes: &Attributes, dtype: DType) -> Result<Tensor, String> {
    if let Some(tensor) = attributes.find_tensor("default_tensor")? {
        return tensor.clone().reshaped(Vec::new()).map_err(|e| e.to_string());
    }
    match dtype {
        DType::String => host::texts(Vec::new(), vec![attributes.text("default_string", "_Unused")?.into()]),
        d if d.is_float() => host::scalar(d, Number::Float(attributes.float("default_float", -0.0)?.into())),
        d => host::scalar(d, Number::Int(attributes.int("default_int64", -1)?.into())),
    }
}

/// Maps keys to values, element by element.
struct Mapping {
    index: HashMap<Key, usize>,
    /// The values, and the default after them.
    values: Tensor,
    from: DType,
}

impl Mapping {
    fn new(keys_of: &Tensor, values: Tensor, default: Tensor) -> Result<Self, String> {
        if keys_of.len() != values.len() || default.dtype() != values.dtype() {
            return Err(format!(
                "keys {keys_of:?}, values {values:?} and the default {default:?} do not fit"
            ));
        }
        // Of a key that is there twice the first counts.
        let mut index = HashMap::with_capacity(keys_of.len());
        for (at, key) in keys(keys_of).into_iter().enumerate() {
            index.entry(key).or_insert(at);
        }
        let count = values.len();
        let values = match (values.strings(), default.strings()) {
            (Some(values), Some(default)) => host::texts(vec![count + 1], [values, default].concat())?,
            _ => {
                let all = [values.bytes().as_ref(), default.bytes().as_ref()].concat();
                Tensor::from_bytes(values.dtype(), vec![count + 1], all.into()).map_err(|e| e.to_string())?
            }
        };
        Ok(Self { index, values, from: keys_of.dtype() })
    }

    fn apply<B: Kernels>(&self, x: &Tensor, cx: &Context<B>) -> Result<Tensor, OpError> {
        let comparable = x.dtype() == self.from || (x.dtype().is_float() && self.from.is_float());
        if !comparable {
            return Err(format!("{x:?} where {} should be", self.from).into());
        }
        let last = self.values.len() - 1;
        cx.check(self.values.dtype(), x.shape())?;
        let place = |key: &Key| self.index.get(key).copied().unwrap_or(last);
        Ok(match x.strings() {
            Some(strings) => {
                let picked = strings.iter().map(|text| place(&Key::Text(text.clone())));
                host::pick(&self.values, picked, x.shape().to_vec())?
            }
            None => {
                let picked = host::numbers(x).map(|number| place(&key(number)));
                host::pick(&self.values, picked, x.shape().to_vec())?
            }
        })
    }
}

pub fn label_encoder<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    // Version 1 numbers its strings, in either direction.
    if let Some(classes) = attributes.find_texts("classes_strings")? {
        return both_ways(attributes, classes.clone(), None);
    }
    let keys = list(attributes, "keys")?.ok_or("it has no keys")?;
    let values = list(attributes, "values")?.ok_or("it has no values")?;
    let default = default(attributes, values.dtype())?;
    let mapping = Mapping::new(&keys, values, default)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        one(Value::Host(mapping.apply(&inputs.take(0)?.into_host()?, cx)?))
    }))
}

pub fn category_mapper<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let strings = attributes.find_texts("cats_strings")?.ok_or("attribute \"cats_strings\" is missing")?;
    let ints = attributes.find_ints("cats_int64s")?.ok_or("attribute \"cats_int64s\" is missing")?;
    both_ways(attributes, strings.clone(), Some(ints))
}

/// Strings to their numbers, and numbers to their strings.
fn both_ways<B: Kernels>(
    attributes: &Attributes,
    strings: Vec<Arc<str>>,
    ints: Option<&Vec<i64>>,
) -> Result<BoxOp<B>, String> {
    let counted: Vec<i64> = (0..strings.len() as i64).collect();
    let ints = host::from_ints(ints.unwrap_or(&counted))?;
    let strings = host::texts(vec![strings.len()], strings)?;
    let to_ints = Mapping::new(&strings, ints.clone(), default(attributes, DType::I64)?)?;
    let to_strings = Mapping::new(&ints, strings, default(attributes, DType::String)?)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let mapping = if x.dtype() == DType::String { &to_ints } else { &to_strings };
        one(Value::Host(mapping.apply(&x, cx)?))
    }))
}

pub fn one_hot<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let categories = list(attributes, "cats")?.ok_or("it has no categories")?;
    let strings = categories.dtype() == DType::String;
    let index: HashMap<Key, usize> =
        keys(&categories).into_iter().enumerate().map(|(at, key)| (key, at)).collect();
    let count = categories.len();
    let zeros = attributes.int("zeros", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        if strings != (x.dtype() == DType::String) {
            return Err(format!(
                "{x:?}, whose categories are {}",
                if strings { "strings" } else { "integers" }
            )
            .into());
        }
        let shape: Vec<usize> = x.shape().iter().copied().chain([count]).collect();
        cx.check(DType::F32, &shape)?;
        cx.work::<Key>(x.len())?;
        let given = match x.strings() {
            Some(_) => keys(&x),
            None => host::numbers(&x).map(|n| Key::Int(n.as_i64().into())).collect::<Vec<_>>(),
        };
        let mut out = host::filled(0f32, host::count(&shape)?)?;
        for (at, key) in given.iter().enumerate() {
            match index.get(key) {
                Some(category) => out[at * count + category] = 1.0,
                None if zeros => {}
                None => {
                    let shown = match key {
                        Key::Text(text) => format!("{text:?}"),
                        Key::Int(v) => v.to_string(),
                        Key::Float(bits) => f64::from_bits(*bits).to_string(),
                    };
                    return Err(OpError::input(format!("{shown} is none of its {count} categories")));
                }
            }
        }
        one(Value::Host(host::tensor(DType::F32, shape, out)?))
    }))
}
