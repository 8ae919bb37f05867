//! Operators on strings. Strings are always on the host.

mod ngrams;
mod normalise;
mod re2;
mod split;
mod tokenise;

use super::{BoxOp, Context, Inputs, Registry, Site, broadcast, one};
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("StringConcat", 20, concat);
    r.op("StringSplit", 20, split::build);
    r.op("StringNormalizer", 10, normalise::build);
    r.op("RegexFullMatch", 20, full_match);
    r.op("TfIdfVectorizer", 9, ngrams::build);
    r.domain_op("com.microsoft", "Tokenizer", tokenise::build);
}

fn concat<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?.into_host()?, inputs.take(1)?.into_host()?);
        let dims = broadcast::shape(a.shape(), b.shape())?;
        cx.check(DType::String, &dims)?;
        let (left, right) = (host::strings(&a)?, host::strings(&b)?);
        let pairs = host::broadcast_indices(a.shape(), &dims).zip(host::broadcast_indices(b.shape(), &dims));
        // Few long strings may make many: what they come to is known before they are joined.
        let bytes = pairs.clone().map(|(l, r)| left[l].len() + right[r].len());
        cx.check(DType::U8, &[bytes.fold(0, usize::saturating_add)])?;
        let joined = pairs.map(|(l, r)| [&*left[l], &*right[r]].concat().into()).collect();
        one(Value::Host(host::texts(dims, joined)?))
    }))
}

/// Takes time linear in the text, whatever the pattern: the syntax is RE2's, which has no backtracking.
fn full_match<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let pattern = site.node.attributes.text("pattern", "")?;
    let whole = re2::compile(&format!("^(?:{pattern})$"))?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let matches = host::strings(&x)?.iter().map(|s| whole.is_match(s)).collect();
        let tensor = Tensor::from_bools(x.shape().to_vec(), matches).map_err(|e| e.to_string())?;
        one(Value::Host(tensor))
    }))
}
