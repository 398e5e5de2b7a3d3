//! The `weir` binary.

use std::process::ExitCode;

/// Smaller and steadier under many short allocations than the system's allocator (`bench/REPORT.md`). A thread of its own
/// (its feature `background_threads`) gives back to the system what a peak leaves behind: without it a gateway that has
/// grown quiet keeps two thirds of what it held.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    weir::cli::main()
}
