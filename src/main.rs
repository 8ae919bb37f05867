//! Arguments in, exit code out.

/// Requests make and drop many short-lived buffers on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rserve::cli::main()
}
