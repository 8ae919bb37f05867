//! If.

use super::inner;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site};

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (then, other) = (inner(site, "then_branch")?, inner(site, "else_branch")?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let condition = host::only(&inputs.take(0)?.into_host()?)?.as_f64() != 0.0;
        let branch = if condition { &then } else { &other };
        let captured = branch.captures.clone().map(|i| inputs.take(i)).collect::<Result<_, _>>()?;
        branch.program.run(captured, cx)
    }))
}
