//! Operators of `ai.onnx.ml`: a row of features gives a row of answers.

use super::elementwise::same;
use super::{Call, Rule, Ruled};
use crate::engine::onnx::Attribute;
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;
use crate::tensor::DType;

pub fn find(op: &str) -> Option<Rule> {
    Some(match op {
        "Binarizer" | "Imputer" | "Normalizer" | "Scaler" => same,
        "ZipMap" => scores,
        "LabelEncoder" | "CategoryMapper" => labels,
        "OneHotEncoder" => one_hot,
        "ArrayFeatureExtractor" => extract,
        "FeatureVectorizer" => join,
        "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" => classify,
        "LinearRegressor" | "SVMRegressor" | "TreeEnsembleRegressor" => regress,
        "TreeEnsemble" => trees,
        _ => return None,
    })
}

/// The length of a list among the attributes.
fn count(call: &Call<'_, '_>, name: &str) -> Option<usize> {
    match call.node.attributes.get(name)? {
        Attribute::Ints(all) => Some(all.len()),
        Attribute::Texts(all) => Some(all.len()),
        Attribute::Floats(all) => Some(all.len()),
        Attribute::Tensor(tensor) => Some(tensor.len()),
        _ => None,
    }
    .filter(|count| *count > 0)
}

/// How many rows there are: a list of features alone is one row.
fn rows(call: &Call<'_, '_>) -> Option<Dim> {
    match &call.dims(0)?[..] {
        [_] => Some(Dim::Fixed(1)),
        [rows, _] => Some(rows.clone()),
        _ => None,
    }
}

/// What is served of a ZipMap is the tensor of scores that it names.
fn scores(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact { dtype: Some(DType::F32), ..Fact::of_dims(call.dims(0)) }])
}

fn labels(call: &mut Call<'_, '_>) -> Ruled {
    let dtype = match call.node.op.as_str() {
        "CategoryMapper" if call.fact(0).dtype == Some(DType::String) => Some(DType::I64),
        "CategoryMapper" => call.fact(0).dtype.map(|_| DType::String),
        _ => {
            let (keys, given) = (encoded(call, "keys"), call.fact(0).dtype);
            if let (Some(keys), Some(given)) = (keys, given)
                && keys != given
            {
                call.mistyped(format!("input 0 is {given} and its keys are {keys}"));
            }
            encoded(call, "values")
        }
    };
    Ok(vec![Fact { dtype, ..Fact::of_dims(call.dims(0)) }])
}

/// The element type of the keys or the values of a LabelEncoder.
fn encoded(call: &Call<'_, '_>, of: &str) -> Option<DType> {
    let tensor = call.node.attributes.find_tensor(&format!("{of}_tensor")).ok().flatten();
    let lists = [("strings", DType::String), ("int64s", DType::I64), ("floats", DType::F32)];
    let list = lists.into_iter().find(|(list, _)| count(call, &format!("{of}_{list}")).is_some());
    tensor.map(|tensor| tensor.dtype()).or(list.map(|(_, dtype)| dtype))
}

fn one_hot(call: &mut Call<'_, '_>) -> Ruled {
    let count = count(call, "cats_int64s").or_else(|| count(call, "cats_strings"));
    let (Some(mut dims), Some(count)) = (call.dims(0), count) else { return Ok(vec![]) };
    dims.push(count.into());
    Ok(vec![Fact::of_dims(dims)])
}

fn extract(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(mut dims), Some(picked)) = (call.dims(0), call.dims(1)) else { return Ok(vec![]) };
    let count = Dim::product_of(&picked);
    if dims.len() == 1 {
        return Ok(vec![Fact::of_dims(vec![Dim::Fixed(1), count])]);
    }
    dims.pop();
    dims.push(count);
    Ok(vec![Fact::of_dims(dims)])
}

fn join(call: &mut Call<'_, '_>) -> Ruled {
    let width = call.ints("inputdimensions").map_or(Dim::Unknown, |all| Dim::Fixed(all.iter().sum()));
    let rows = rows(call);
    Ok(vec![Fact::of_dims(rows.map(|rows| vec![rows, width]))])
}

fn classify(call: &mut Call<'_, '_>) -> Ruled {
    let names = ["classlabels_strings", "classlabels_int64s", "classlabels_ints"];
    let found = names.into_iter().find_map(|name| Some((name, count(call, name)?)));
    let label = found.map(|(name, _)| if name == "classlabels_strings" { DType::String } else { DType::I64 });
    let width = found.map_or(Dim::Unknown, |(_, count)| count.into());
    let rows = rows(call);
    let labels = Fact { dtype: label, ..Fact::of_dims(rows.clone().map(|rows| vec![rows])) };
    Ok(vec![labels, Fact { dtype: Some(DType::F32), ..Fact::of_dims(rows.map(|rows| vec![rows, width])) }])
}

fn regress(call: &mut Call<'_, '_>) -> Ruled {
    let targets = match call.node.op.as_str() {
        "LinearRegressor" => call.int("targets", 1),
        "TreeEnsembleRegressor" => call.int("n_targets", 1),
        _ => 1,
    };
    let rows = rows(call);
    Ok(vec![Fact::of_dims(rows.map(|rows| vec![rows, Dim::Fixed(targets)]))])
}

fn trees(call: &mut Call<'_, '_>) -> Ruled {
    let targets = Dim::Fixed(call.int("n_targets", 1));
    let rows = rows(call);
    Ok(vec![Fact::of_dims(rows.map(|rows| vec![rows, targets]))])
}
