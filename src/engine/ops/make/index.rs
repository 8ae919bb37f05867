//! OneHot and NonZero.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// An index outside the depth is nowhere hot.
pub fn one_hot<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", -1)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let indices = inputs.take(0)?.into_host()?;
        let depth = host::only(&inputs.take(1)?.into_host()?)?.as_i64();
        let values = inputs.take(2)?.into_host()?;
        if values.len() != 2 {
            return Err(format!("values are {values:?}, not two").into());
        }
        let size = usize::try_from(depth).map_err(|_| format!("a depth of {depth}"))?;
        let axis = axis(given, indices.shape().len() + 1)?;
        let mut dims = indices.shape().to_vec();
        dims.insert(axis, size);
        cx.check(values.dtype(), &dims)?;
        // Which of the two each is.
        cx.work::<u8>(host::count(&dims)?)?;
        let inner: usize = dims[axis + 1..].iter().product();
        let mut hot = host::filled(0u8, host::count(&dims)?)?;
        for (at, index) in host::numbers(&indices).enumerate() {
            let index = index.as_i64();
            let index = if index < 0 { index.saturating_add(depth) } else { index };
            if (0..depth).contains(&index) {
                let (outer, within) = (at / inner.max(1), at % inner.max(1));
                hot[(outer * size + index as usize) * inner + within] = 1;
            }
        }
        one(Value::Host(host::pick(&values, hot.into_iter().map(usize::from), dims)?))
    }))
}

pub fn non_zero<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let strides = host::strides(x.shape());
        let numbers = host::numbers(&x);
        let found =
            || (0..numbers.len()).zip(numbers.clone()).filter(|(_, n)| n.as_f64() != 0.0).map(|(i, _)| i);
        let count = found().count();
        let dims = vec![x.shape().len(), count];
        cx.check(DType::I64, &dims)?;
        let mut indices = host::filled(0i64, host::count(&dims)?)?;
        for (rank, i) in found().enumerate() {
            for (axis, stride) in strides.iter().enumerate() {
                indices[axis * count + rank] = (i / stride % x.shape()[axis]) as i64;
            }
        }
        one(Value::Host(host::tensor(DType::I64, dims, indices)?))
    }))
}
