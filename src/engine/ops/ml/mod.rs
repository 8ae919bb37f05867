//! `ai.onnx.ml`: what scikit-learn's models are exported to. Computed on the host.

mod encode;
mod forest;
mod label;
mod linear;
mod scale;
mod select;
mod support;
mod transform;
mod tree;

use super::{Context, Inputs, Registry, Site};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::host;
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

pub const DOMAIN: &str = "ai.onnx.ml";

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.domain_op(DOMAIN, "ArrayFeatureExtractor", select::array_features);
    r.domain_op(DOMAIN, "FeatureVectorizer", select::vectorize);
    r.domain_op(DOMAIN, "ZipMap", select::zip_map);
    r.domain_op(DOMAIN, "Binarizer", scale::binarizer);
    r.domain_op(DOMAIN, "Imputer", scale::imputer);
    r.domain_op(DOMAIN, "Normalizer", scale::normalizer);
    r.domain_op(DOMAIN, "Scaler", scale::scaler);
    r.domain_op(DOMAIN, "CategoryMapper", encode::category_mapper);
    r.domain_op(DOMAIN, "LabelEncoder", encode::label_encoder);
    r.domain_op(DOMAIN, "OneHotEncoder", encode::one_hot);
    r.domain_op(DOMAIN, "LinearClassifier", linear::classifier);
    r.domain_op(DOMAIN, "LinearRegressor", linear::regressor);
    r.domain_op(DOMAIN, "SVMClassifier", support::classifier);
    r.domain_op(DOMAIN, "SVMRegressor", support::regressor);
    r.domain_op(DOMAIN, "TreeEnsemble", tree::ensemble);
    r.domain_op(DOMAIN, "TreeEnsembleClassifier", tree::classifier);
    r.domain_op(DOMAIN, "TreeEnsembleRegressor", tree::regressor);
}

/// Rows of features, whatever their dtype.
struct Matrix {
    rows: usize,
    width: usize,
    values: Vec<f64>,
    dtype: DType,
}

impl Matrix {
    /// The first input; what has one axis is one row.
    fn take<B: Kernels>(inputs: &mut Inputs<B>, cx: &Context<B>) -> Result<Self, OpError> {
        let x = inputs.take(0)?.into_host()?;
        cx.work::<f64>(x.len())?;
        if x.strings().is_some() {
            return Err(format!("{x:?} where numbers should be").into());
        }
        let (rows, width) = match x.shape() {
            [] => (1, 1),
            [width] => (1, *width),
            [rows, rest @ ..] => (*rows, rest.iter().product()),
        };
        Ok(Self { rows, width, values: x.to_f64(), dtype: x.dtype() })
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// An error where rows have another number of features than the model was trained on.
    fn expect(&self, width: usize) -> Result<(), String> {
        if self.width == width {
            Ok(())
        } else {
            Err(format!("rows have {} features, where the model was trained on {width}", self.width))
        }
    }
}

fn floats<B: Kernels>(site: &Site<'_, B>, name: &str) -> Result<Vec<f64>, String> {
    let given = site.node.attributes.find_floats(name)?;
    Ok(given.map_or(Vec::new(), |v| v.iter().map(|v| f64::from(*v)).collect()))
}

fn ints<B: Kernels>(site: &Site<'_, B>, name: &str) -> Result<Vec<i64>, String> {
    Ok(site.node.attributes.find_ints(name)?.cloned().unwrap_or_default())
}

/// A list of numbers that is an attribute of floats, or the tensor `<name>_as_tensor`; and whether it is of
/// doubles.
fn floats_or_tensor<B: Kernels>(site: &Site<'_, B>, name: &str) -> Result<(Vec<f64>, bool), String> {
    match site.node.attributes.find_tensor(&format!("{name}_as_tensor"))? {
        Some(tensor) => Ok((tensor.to_f64(), tensor.dtype() == DType::F64)),
        None => Ok((floats(site, name)?, false)),
    }
}

/// float32, as most of these operators give.
fn float32<B: Kernels>(shape: Vec<usize>, values: Vec<f64>) -> Result<Value<B>, String> {
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    Ok(Value::Host(host::tensor(DType::F32, shape, values)?))
}

/// The dtype of the features where it is a float, else float32.
fn like<B: Kernels>(dtype: DType, shape: Vec<usize>, values: Vec<f64>) -> Result<Value<B>, String> {
    let dtype = if dtype.is_float() { dtype } else { DType::F32 };
    let tensor: Tensor = host::from_numbers(dtype, shape, values.into_iter().map(host::Number::Float))?;
    Ok(Value::Host(tensor))
}
