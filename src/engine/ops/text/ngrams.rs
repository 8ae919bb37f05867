//! TfIdfVectorizer: how often each of a pool of n-grams is in a row.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, ints, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Word {
    Int(i64),
    Text(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Counts,
    /// The weights of the n-grams that are there.
    Weights,
    Both,
}

struct Vectorizer {
    mode: Mode,
    /// The least and the greatest number of words of an n-gram that is looked for.
    lengths: [usize; 2],
    skips: usize,
    /// The column and the weight of each n-gram.
    pool: HashMap<Vec<Word>, (usize, f32)>,
    width: usize,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let vectorizer = Vectorizer::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let (rows, dims) = match *x.shape() {
            [_] => (1, vec![vectorizer.width]),
            [rows, _] => (rows, vec![rows, vectorizer.width]),
            _ => return Err(format!("{x:?} where rows of words should be").into()),
        };
        cx.check(DType::F32, &dims)?;
        cx.work::<Word>(x.len())?;
        let words = words(&x)?;
        let length = words.len().checked_div(rows).unwrap_or(0);
        let mut out = host::filled(0f32, host::count(&dims)?)?;
        if vectorizer.width > 0 {
            for (row, out) in out.chunks_exact_mut(vectorizer.width).enumerate() {
                vectorizer.count(&words[row * length..(row + 1) * length], out, cx)?;
            }
        }
        one(Value::Host(host::tensor(DType::F32, dims, out)?))
    }))
}

fn words(x: &Tensor) -> Result<Vec<Word>, String> {
    Ok(match x.strings() {
        Some(strings) => strings.iter().cloned().map(Word::Text).collect(),
        None => ints(x)?.into_iter().map(Word::Int).collect(),
    })
}

impl Vectorizer {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        let size = |name: &str| -> Result<usize, String> {
            let given = attributes
                .find_int(name)?
                .copied()
                .ok_or_else(|| format!("attribute {name:?} is missing"))?;
            usize::try_from(given).map_err(|_| format!("{name} is {given}"))
        };
        let mode = attributes.choice(
            "mode",
            "TF",
            &[("TF", Mode::Counts), ("IDF", Mode::Weights), ("TFIDF", Mode::Both)],
        )?;
        let pool: Vec<Word> =
            match (attributes.find_texts("pool_strings")?, attributes.find_ints("pool_int64s")?) {
                (Some(strings), _) if !strings.is_empty() => {
                    strings.iter().cloned().map(Word::Text).collect()
                }
                (_, Some(ints)) => ints.iter().map(|v| Word::Int(*v)).collect(),
                _ => return Err("it has no pool of n-grams".into()),
            };
        let list = |name: &str| -> Result<Vec<usize>, String> {
            let given =
                attributes.find_ints(name)?.ok_or_else(|| format!("attribute {name:?} is missing"))?;
            let sizes = given.iter().map(|v| usize::try_from(*v).map_err(|_| format!("{name} has {v}")));
            sizes.collect()
        };
        let (starts, columns) = (list("ngram_counts")?, list("ngram_indexes")?);
        let weights = attributes.find_floats("weights")?.cloned().unwrap_or_default();
        let mut ngrams = HashMap::new();
        let mut id = 0;
        // All of one word, then all of two, and so on; each kind begins where `ngram_counts` says.
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(pool.len());
            let part = pool.get(*start..end).ok_or("ngram_counts do not fit the pool")?;
            if !part.len().is_multiple_of(index + 1) {
                return Err(format!("{} words do not make n-grams of {}", part.len(), index + 1));
            }
            for ngram in part.chunks_exact(index + 1) {
                let column = columns.get(id).copied().ok_or("ngram_indexes are fewer than the n-grams")?;
                ngrams.insert(ngram.to_vec(), (column, weights.get(id).copied().unwrap_or(1.0)));
                id += 1;
            }
        }
        let width = columns.iter().max().map_or(0, |last| last.saturating_add(1));
        Ok(Self {
            mode,
            lengths: [size("min_gram_length")?.max(1), size("max_gram_length")?.min(starts.len())],
            skips: size("max_skip_count")?,
            pool: ngrams,
            width,
        })
    }

    fn count<B: Kernels>(&self, words: &[Word], out: &mut [f32], cx: &Context<B>) -> Result<(), OpError> {
        let [least, greatest] = self.lengths;
        for length in least..=greatest {
            // Further apart than the row is long there are none; words alone have nothing between them.
            let most = if length == 1 { 0 } else { self.skips.min(words.len()) };
            for step in 1..=most + 1 {
                let Some(reach) = (length - 1).checked_mul(step) else { break };
                cx.run.go_on()?;
                for start in 0..words.len().saturating_sub(reach) {
                    let ngram: Vec<Word> = (0..length).map(|i| words[start + i * step].clone()).collect();
                    let Some((column, weight)) = self.pool.get(&ngram) else { continue };
                    match self.mode {
                        Mode::Counts => out[*column] += 1.0,
                        Mode::Weights => out[*column] = *weight,
                        Mode::Both => out[*column] += weight,
                    }
                }
            }
        }
        Ok(())
    }
}
