//! Fused operations for the CPU, on plain slices. Knows neither Burn nor ONNX.
//!
//! Vector code is written once over `pulp`'s SIMD traits and instantiated for the instructions that the
//! machine has, found out when it runs (AVX2 with FMA, AVX-512, NEON, or scalars).

pub mod conv;
