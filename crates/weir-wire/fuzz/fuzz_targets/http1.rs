#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire_fuzz::run("http1", data));
