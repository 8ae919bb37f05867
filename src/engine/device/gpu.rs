//! What stands behind [`DeviceId::Cuda`](crate::plan::DeviceId::Cuda): CUDA, or for tests Vulkan in its place,
//! which goes the same way through Burn and CubeCL and needs no GPU where Vulkan is software.

use crate::engine::backend::Kernels;
use burn::tensor::backend::BackendTypes;
use cubecl::Runtime;

#[cfg(feature = "cuda")]
pub use burn_cuda::Cuda as Gpu;
#[cfg(feature = "cuda")]
use cubecl::cuda::CudaRuntime as Calls;

#[cfg(not(feature = "cuda"))]
pub use burn_wgpu::Vulkan as Gpu;
#[cfg(not(feature = "cuda"))]
use cubecl::wgpu::WgpuRuntime as Calls;

pub type GpuDevice = <Gpu as BackendTypes>::Device;

/// The device of that number.
#[cfg(feature = "cuda")]
pub fn gpu(index: usize) -> GpuDevice {
    burn_cuda::CudaDevice::new(index)
}

/// The software one, whatever the number.
#[cfg(not(feature = "cuda"))]
pub fn gpu(_: usize) -> GpuDevice {
    burn_wgpu::WgpuDevice::Cpu
}

impl Kernels for Gpu {
    fn flush(device: &GpuDevice) -> Result<(), String> {
        Calls::client(device).flush().map_err(|e| e.to_string())
    }
}
