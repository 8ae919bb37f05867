//! Fused operations for the CPU, on plain slices. Knows neither Burn (but for `memory`) nor ONNX.
//!
//! Vector code is written once, over `pulp`'s SIMD traits or as loops that the compiler turns into vectors,
//! and instantiated for the instructions that the machine has, found out when it runs (AVX2 with FMA,
//! AVX-512, NEON, or scalars).

mod activation;
pub mod attention;
pub mod blocked;
pub mod conv;
pub mod elementwise;
pub mod matmul;
pub mod memory;
pub mod norm;
pub mod overlap;
pub mod pool;
pub mod recurrent;
mod share;
pub mod softmax;
pub mod strided;
mod transpose;
mod vector;

pub use activation::Activation;
pub use share::Running;

/// The instructions of this machine, looked up once.
fn arch() -> pulp::Arch {
    static ARCH: std::sync::LazyLock<pulp::Arch> = std::sync::LazyLock::new(pulp::Arch::new);
    *ARCH
}
