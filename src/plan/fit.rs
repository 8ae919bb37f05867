//! Whether a tensor of one type can be what a port takes, and what to do where it cannot.

use super::TensorType;
use crate::spec;
use crate::spec::document::Value;

/// Why one type cannot be the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    DType,
    Shape,
}

impl TensorType {
    /// `None` where a tensor of this type may be one of `other`: what is not known matches anything.
    pub fn mismatch(&self, other: &Self) -> Option<Mismatch> {
        if let (Some(a), Some(b)) = (self.dtype, other.dtype)
            && a != b
        {
            return Some(Mismatch::DType);
        }
        let (Some(a), Some(b)) = (&self.dims, &other.dims) else { return None };
        let differ =
            |(a, b): (&Option<usize>, &Option<usize>)| matches!((a, b), (Some(a), Some(b)) if a != b);
        (a.len() != b.len() || a.iter().zip(b).any(differ)).then_some(Mismatch::Shape)
    }
}

/// What to write in a decode so that it gives `wanted`.
pub fn mend_decode(codec: &spec::Codec, gives: &TensorType, wanted: &TensorType) -> Vec<String> {
    let mut helps = vec![];
    if let (Some(a), Some(b)) = (gives.dtype, wanted.dtype)
        && a != b
    {
        helps.push(format!("`dtype = \"{b}\"` in decode `{}` would fit", codec.name.value));
    }
    let (Some(from), Some(to)) = (&gives.dims, &wanted.dims) else { return helps };
    if codec.format.value == "image" {
        helps.extend(mend_image(codec, from, to));
    } else if gives.mismatch(wanted) == Some(Mismatch::Shape) && codec.options.get("shape").is_some() {
        let dims: Option<Vec<String>> = to.iter().map(|d| d.map(|n| n.to_string())).collect();
        if let Some(dims) = dims {
            helps.push(format!("`shape = [{}]` in decode `{}` would fit", dims.join(", "), codec.name.value));
        }
    }
    helps
}

type Dims = [Option<usize>];

/// An image is planes ("nchw": channels, height, width) or pixels ("nhwc": height, width, channels).
fn mend_image(codec: &spec::Codec, from: &Dims, to: &Dims) -> Vec<String> {
    let name = &codec.name.value;
    let [to0, to1, to2] = to else {
        return vec![format!(
            "an image decode gives three axes; the model wants {} beside the batch",
            to.len()
        )];
    };
    let [from0, from1, from2] = from else { return vec![] };
    let channels = |d: &Option<usize>| matches!(d, Some(1 | 3));
    let planes_now =
        !matches!(&codec.options.get("layout").map(|v| &v.value), Some(Value::String(s)) if s == "nhwc");
    let planes_wanted = match (channels(to0), channels(to2)) {
        (true, false) => true,
        (false, true) => false,
        _ => planes_now,
    };
    let split =
        |planes: bool, d: [Option<usize>; 3]| if planes { (d[0], d[1], d[2]) } else { (d[2], d[0], d[1]) };
    let (c, h, w) = split(planes_now, [*from0, *from1, *from2]);
    let (want_c, want_h, want_w) = split(planes_wanted, [*to0, *to1, *to2]);
    let differ = |a: Option<usize>, b: Option<usize>| matches!((a, b), (Some(a), Some(b)) if a != b);
    let mut helps = vec![];
    if planes_now != planes_wanted {
        let layout = if planes_wanted { "nchw" } else { "nhwc" };
        helps.push(format!("`layout = \"{layout}\"` in decode `{name}` would fit"));
    }
    if differ(c, want_c) {
        match want_c {
            Some(1) => helps.push(format!("`color = \"gray\"` in decode `{name}` would fit")),
            Some(3) => helps.push(format!("`color = \"rgb\"` in decode `{name}` would fit")),
            _ => helps.push("an image decode gives 3 channels, or 1 with `color = \"gray\"`".to_owned()),
        }
    }
    if (differ(h, want_h) || differ(w, want_w))
        && let (Some(h), Some(w)) = (want_h.or(h), want_w.or(w))
    {
        helps.push(format!("`size = [{w}, {h}]` in decode `{name}` would fit"));
    }
    helps
}
