//! SequenceMap: a body that is run for each element of a sequence.

use super::inner;
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site};
use crate::engine::value::{List, Value};

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let body = inner(site, "body")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let given = (0..body.declared).map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        let captured = body.captures.clone().map(|i| inputs.take(i)).collect::<Result<Vec<_>, _>>()?;
        let Some(Value::Sequence(first)) = given.first() else {
            return Err("its first input is no sequence".into());
        };
        let length = first.items.len();
        let mut lists: Vec<List<B>> = body.results.iter().map(|_| List::default()).collect();
        let scope = cx.run.scope();
        for index in 0..length {
            cx.run.count_round()?;
            let item = |value: &Value<B>| match value {
                Value::Sequence(list) => {
                    list.items.get(index).cloned().ok_or("its sequences differ in length")
                }
                tensor => Ok(tensor.clone()),
            };
            let mut own = given.iter().map(item).collect::<Result<Vec<_>, _>>()?;
            own.extend(captured.iter().cloned());
            for (list, value) in lists.iter_mut().zip(body.program.run(own, cx)?) {
                list.insert(list.items.len(), value, cx.max_bytes)?;
            }
            let given = lists.iter().map(List::weight).fold(0, usize::saturating_add);
            super::hold::<B>(&scope, &[], given, cx)?;
        }
        Ok(lists.into_iter().map(|list| Value::Sequence(list.into())).collect())
    }))
}
