//! Unique: the distinct elements, or the distinct slices along an axis.

use crate::engine::backend::Accelerator;
use crate::engine::host::{self, for_element};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use std::cmp::Ordering;

/// Gives what is unique, where each is first, which of them every one is, and how often each occurs.
pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_int("axis")?.copied();
    let sorted = site.node.attributes.int("sorted", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let dims = x.shape();
        // One line for each slice: its elements in order.
        let (count, outer, inner) = match given {
            None => (x.len(), 1, 1),
            Some(given) => {
                let axis = axis(given, dims.len())?;
                (dims[axis], dims[..axis].iter().product(), dims[axis + 1..].iter().product::<usize>())
            }
        };
        let line = |i: usize| {
            (0..outer).flat_map(move |row| {
                let start = (row * count + i) * inner;
                start..start + inner
            })
        };
        let groups = for_element!(x.dtype(), T => {
            let cells = host::cells::<T>(&x);
            groups(count, sorted, |a, b| {
                let unequal = line(*a).zip(line(*b)).map(|(a, b)| order(&cells[a], &cells[b]));
                unequal.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            })
        });
        let mut out = match given {
            None => vec![groups.len()],
            Some(_) => dims.to_vec(),
        };
        if let Some(given) = given {
            out[axis(given, dims.len())?] = groups.len();
        }
        let offsets: Vec<usize> = (0..outer)
            .flat_map(|row| groups.iter().map(move |g| (row * count + g[0]) * inner))
            .flat_map(|start| start..start + inner)
            .collect();
        let mut which = vec![0i64; count];
        for (index, group) in groups.iter().enumerate() {
            group.iter().for_each(|member| which[*member] = index as i64);
        }
        let list = |v: Vec<i64>| -> Result<Tensor, String> { host::tensor(DType::I64, vec![v.len()], v) };
        Ok(vec![
            Value::Host(host::pick(&x, &offsets, out)?),
            Value::Host(list(groups.iter().map(|g| g[0] as i64).collect())?),
            Value::Host(list(which)?),
            Value::Host(list(groups.iter().map(|g| g.len() as i64).collect())?),
        ])
    }))
}

/// The order by value; what is not a number comes last, and is one with its like.
fn order<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    let number = |v: &T| v.partial_cmp(v).is_some();
    a.partial_cmp(b).unwrap_or_else(|| number(b).cmp(&number(a)))
}

/// The members of each group of equals, in order; the groups by value or by their first members.
fn groups(count: usize, sorted: bool, compare: impl Fn(&usize, &usize) -> Ordering) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(a, b));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match groups.last_mut() {
            Some(group) if compare(&group[0], &i).is_eq() => group.push(i),
            _ => groups.push(vec![i]),
        }
    }
    if !sorted {
        groups.sort_by_key(|g| g[0]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_one_with_its_like() {
        let cells = [2.0, f64::NAN, 1.0, 2.0, f64::NAN];
        let compare = |a: &usize, b: &usize| order(&cells[*a], &cells[*b]);
        assert_eq!(groups(5, true, compare), [vec![2], vec![0, 3], vec![1, 4]]);
        assert_eq!(groups(5, false, compare), [vec![0, 3], vec![1, 4], vec![2]]);
    }
}
