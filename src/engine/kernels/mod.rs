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
mod gate;
mod lanes;
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

/// The instructions that the kernels use, looked up once: those of the machine, or the narrower ones that `RSERVE_SIMD`
/// names (`scalar`, or `avx2` where there is AVX-512).
fn arch() -> pulp::Arch {
    static ARCH: std::sync::LazyLock<pulp::Arch> =
        std::sync::LazyLock::new(|| chosen(std::env::var("RSERVE_SIMD").ok().as_deref()));
    *ARCH
}

fn chosen(wanted: Option<&str>) -> pulp::Arch {
    match wanted {
        Some("scalar") => pulp::Arch::Scalar,
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Some("avx2") => pulp::x86::V3::try_new().map_or_else(pulp::Arch::new, pulp::Arch::V3),
        _ => pulp::Arch::new(),
    }
}
