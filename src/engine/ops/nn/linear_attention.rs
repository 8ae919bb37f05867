//! LinearAttention: a state of keys by values that every token decays, corrects and reads. On the host, in single
//! precision as the standard asks.

use crate::engine::backend::Kernels;
use crate::engine::ops::real::{from_reals, reals};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use rayon::prelude::*;

#[derive(Clone, Copy, Debug)]
struct Settings {
    /// The state decays.
    gated: bool,
    /// What the state knows of a key is taken from its value.
    delta: bool,
    heads: usize,
    kv_heads: usize,
    scale: f32,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let (gated, delta) = match attributes.text("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(format!("update_rule {other:?} is not known")),
    };
    let heads = |name| -> Result<usize, String> {
        let given = attributes.int(name, 0)?;
        usize::try_from(given).ok().filter(|h| *h > 0).ok_or_else(|| format!("{name} is {given}"))
    };
    let settings = Settings {
        gated,
        delta,
        heads: heads("q_num_heads")?,
        kv_heads: heads("kv_num_heads")?,
        scale: attributes.float("scale", 0.0)?,
    };
    if !settings.heads.is_multiple_of(settings.kv_heads) {
        return Err(format!("{} heads in {} groups", settings.heads, settings.kv_heads));
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut host = |i| inputs.optional(i).map(Value::into_host).transpose();
        let missing = |i| format!("input {i} is missing");
        let (q, k, v) = (
            host(0)?.ok_or_else(|| missing(0))?,
            host(1)?.ok_or_else(|| missing(1))?,
            host(2)?.ok_or_else(|| missing(2))?,
        );
        let (past, decay, beta) = (host(3)?, host(4)?, host(5)?);
        if decay.is_some() != settings.gated || beta.is_some() != settings.delta {
            return Err("decay and beta do not go with the update rule".into());
        }
        let sizes = settings.sizes(&q, &k, &v)?;
        let out = vec![sizes.batch, sizes.steps, settings.heads * sizes.values];
        let state = vec![sizes.batch, settings.kv_heads, sizes.keys, sizes.values];
        cx.check(DType::F32, &out)?;
        cx.check(DType::F32, &state)?;
        if past.as_ref().is_some_and(|p| p.shape() != state) {
            return Err(format!("a state {past:?} where {state:?} should be").into());
        }
        let kept = past.as_ref().map_or(q.dtype(), Tensor::dtype);
        // What is read in single precision, and what each head gives before it is put in order.
        cx.work::<f32>(q.len().saturating_add(k.len()).saturating_add(v.len()))?;
        cx.check(DType::F32, &out)?;
        let (y, after) =
            settings.run(&sizes, [&q, &k, &v], past.as_ref(), decay.as_ref(), beta.as_ref(), cx)?;
        Ok(vec![Value::Host(from_reals(q.dtype(), out, y)?), Value::Host(from_reals(kept, state, after)?)])
    }))
}

struct Sizes {
    batch: usize,
    steps: usize,
    /// The size of the keys of one head.
    keys: usize,
    values: usize,
}

impl Settings {
    fn sizes(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Sizes, String> {
        let refused = || format!("{q:?}, {k:?} and {v:?} do not go together");
        let ([batch, steps, wide], [.., values]) = (q.shape(), v.shape()) else { return Err(refused()) };
        let sizes =
            Sizes { batch: *batch, steps: *steps, keys: wide / self.heads, values: values / self.kv_heads };
        let fits = sizes.keys * self.heads == *wide
            && k.shape() == [*batch, *steps, self.kv_heads * sizes.keys]
            && v.shape() == [*batch, *steps, self.kv_heads * sizes.values]
            && sizes.keys > 0
            && sizes.values > 0;
        if fits { Ok(sizes) } else { Err(refused()) }
    }

    /// The output, and the state after the last step.
    fn run<B: Kernels>(
        &self,
        sizes: &Sizes,
        [q, k, v]: [&Tensor; 3],
        past: Option<&Tensor>,
        decay: Option<&Tensor>,
        beta: Option<&Tensor>,
        cx: &Context<B>,
    ) -> Result<(Vec<f32>, Vec<f32>), OpError> {
        let Sizes { batch, steps, keys, values } = *sizes;
        let given = Given {
            q: reals::<f32>(q),
            k: reals::<f32>(k),
            v: reals::<f32>(v),
            decay: Gate::read(decay, sizes, &[self.kv_heads, self.kv_heads * keys])?,
            beta: Gate::read(beta, sizes, &[self.kv_heads, 1])?,
        };
        let mut state = past.map_or_else(|| vec![0.0; batch * self.kv_heads * keys * values], reals::<f32>);
        // Head after head, each with all its steps; put in order afterwards.
        let parts: Vec<Vec<f32>> = state
            .par_chunks_mut(keys * values)
            .enumerate()
            .map(|(index, state)| self.head(sizes, &given, index, state, cx))
            .collect::<Result<_, _>>()?;
        let of_step = self.heads / self.kv_heads * values;
        let mut y = Vec::with_capacity(batch * steps * self.heads * values);
        for item in 0..batch {
            for step in 0..steps {
                for head in 0..self.kv_heads {
                    let part = &parts[item * self.kv_heads + head];
                    y.extend_from_slice(&part[step * of_step..][..of_step]);
                }
            }
        }
        Ok((y, state))
    }

    /// The output of one head of one item, step after step; its state is left as it is after the last.
    fn head<B: Kernels>(
        &self,
        sizes: &Sizes,
        given: &Given,
        index: usize,
        state: &mut [f32],
        cx: &Context<B>,
    ) -> Result<Vec<f32>, OpError> {
        let Sizes { steps, keys, values, .. } = *sizes;
        let Given { q, k, v, decay, beta } = given;
        let (item, head) = (index / self.kv_heads, index % self.kv_heads);
        let group = self.heads / self.kv_heads;
        let scale = if self.scale == 0.0 { 1.0 / (keys as f32).sqrt() } else { self.scale };
        let mut out = Vec::with_capacity(steps * group * values);
        let mut new = vec![0f32; values];
        for step in 0..steps {
            cx.run.go_on()?;
            let row = item * steps + step;
            let key = &k[(row * self.kv_heads + head) * keys..][..keys];
            new.copy_from_slice(&v[(row * self.kv_heads + head) * values..][..values]);
            if self.gated {
                for (i, line) in state.chunks_mut(values).enumerate() {
                    let one_a_head = decay.wide == self.kv_heads;
                    let at = if one_a_head { head } else { head * keys + i };
                    let factor = decay.numbers[row * decay.wide + at].exp();
                    line.iter_mut().for_each(|s| *s *= factor);
                }
            }
            if self.delta {
                let rate = beta.numbers[row * beta.wide + if beta.wide == 1 { 0 } else { head }];
                for (line, k) in state.chunks(values).zip(key) {
                    new.iter_mut().zip(line).for_each(|(n, s)| *n -= s * k);
                }
                new.iter_mut().for_each(|n| *n *= rate);
            }
            for (line, k) in state.chunks_mut(values).zip(key) {
                line.iter_mut().zip(&new).for_each(|(s, n)| *s += k * n);
            }
            for member in 0..group {
                let query = &q[(row * self.heads + head * group + member) * keys..][..keys];
                let start = out.len();
                out.resize(start + values, 0.0);
                for (line, q) in state.chunks(values).zip(query) {
                    out[start..].iter_mut().zip(line).for_each(|(o, s)| *o += scale * q * s);
                }
            }
        }
        Ok(out)
    }
}

/// The numbers of all inputs but the state.
struct Given {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    decay: Gate,
    beta: Gate,
}

/// A gate, and how many numbers of it one step of one item has.
struct Gate {
    numbers: Vec<f32>,
    wide: usize,
}

impl Gate {
    /// Reads a gate of one of the widths that are allowed; one that is left out has none.
    fn read(gate: Option<&Tensor>, sizes: &Sizes, allowed: &[usize]) -> Result<Self, String> {
        let wide = match gate.map(Tensor::shape) {
            None => 0,
            Some([batch, steps, wide])
                if (*batch, *steps) == (sizes.batch, sizes.steps) && allowed.contains(wide) =>
            {
                *wide
            }
            Some(shape) => return Err(format!("a gate {shape:?} for {allowed:?}")),
        };
        Ok(Self { numbers: gate.map(reals::<f32>).unwrap_or_default(), wide })
    }
}
