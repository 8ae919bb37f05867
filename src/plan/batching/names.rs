//! What the names of axes say.

/// Whether an exporter made the name up, so that it says nothing: PyTorch's "Gemmscores_dim_0" (older) and "s77"
/// (newer), tf2onnx's and ONNX Runtime's "unk__17", PaddlePaddle's "p2o.DynamicDimension.0". PyTorch's "u0" is
/// not among them: it is the length of what depends on values.
pub fn is_automatic(name: &str) -> bool {
    let paddle = name.strip_prefix("p2o.").unwrap_or(name);
    name.contains("_dim_")
        || name.starts_with("dim_")
        || name.starts_with("unk_")
        || paddle.starts_with("DynamicDimension")
        || name.strip_prefix('s').is_some_and(is_number)
}

/// Whether the name says that the axis is the batch.
pub fn says_batch(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("batch") || matches!(name.as_str(), "n" | "b" | "bs")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
