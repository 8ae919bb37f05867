//! Bytes to tensors and back: a file a format, and one registry. Knows neither HTTP nor folders.
