//! The `weir` binary.

use std::process::ExitCode;

/// Smaller and steadier under many short allocations than the system's allocator (`bench/REPORT.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    weir::cli::main()
}
