//! Unique: the distinct elements, or the distinct slices along an axis.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, for_element};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use std::cmp::Ordering;
use std::ops::Range;

/// Gives what is unique, where each is first, which of them every one is, and how often each occurs.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_int("axis")?.copied();
    let sorted = site.node.attributes.int("sorted", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
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
        // The order, with what sorting takes, and for each group where it begins and whose it is.
        cx.work::<[usize; 6]>(count)?;
        cx.check(x.dtype(), dims)?;
        let groups = for_element!(x.dtype(), T => {
            let cells = host::cells::<T>(&x);
            Groups::of(count, sorted, |a, b| {
                // Once nobody waits, in any order.
                if cx.run.stop().is_set() {
                    return Ordering::Equal;
                }
                let mut orders = line(*a).zip(line(*b)).map(|(a, b)| order(&cells[a], &cells[b]));
                orders.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            })
        });
        let mut out = match given {
            None => vec![groups.len()],
            Some(_) => dims.to_vec(),
        };
        if let Some(given) = given {
            out[axis(given, dims.len())?] = groups.len();
        }
        let starts = (0..outer).flat_map(|row| groups.iter().map(move |g| (row * count + g[0]) * inner));
        let offsets = host::runs(starts, inner);
        let mut which = host::filled(0i64, count)?;
        for (index, group) in groups.iter().enumerate() {
            group.iter().for_each(|member| which[*member] = index as i64);
        }
        let list = |v: Vec<i64>| -> Result<Tensor, String> { host::tensor(DType::I64, vec![v.len()], v) };
        Ok(vec![
            Value::Host(host::pick(&x, offsets, out)?),
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
struct Groups {
    members: Vec<usize>,
    /// Where each group lies among the members. None is empty.
    parts: Vec<Range<usize>>,
}

impl Groups {
    fn of(count: usize, sorted: bool, compare: impl Fn(&usize, &usize) -> Ordering) -> Self {
        let mut members: Vec<usize> = (0..count).collect();
        members.sort_by(|a, b| compare(a, b));
        let mut parts: Vec<Range<usize>> = Vec::new();
        for (at, member) in members.iter().enumerate() {
            match parts.last_mut() {
                Some(part) if compare(&members[part.start], member).is_eq() => part.end = at + 1,
                _ => parts.push(at..at + 1),
            }
        }
        if !sorted {
            parts.sort_by_key(|part| members[part.start]);
        }
        Self { members, parts }
    }

    fn len(&self) -> usize {
        self.parts.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[usize]> {
        self.parts.iter().map(|part| &self.members[part.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_one_with_its_like() {
        let cells = [2.0, f64::NAN, 1.0, 2.0, f64::NAN];
        let compare = |a: &usize, b: &usize| order(&cells[*a], &cells[*b]);
        let groups = |sorted| Groups::of(5, sorted, compare).iter().map(<[_]>::to_vec).collect::<Vec<_>>();
        assert_eq!(groups(true), [vec![2], vec![0, 3], vec![1, 4]]);
        assert_eq!(groups(false), [vec![0, 3], vec![1, 4], vec![2]]);
    }
}
