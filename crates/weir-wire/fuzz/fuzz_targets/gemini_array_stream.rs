#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_wire_fuzz::run("gemini_array_stream", data));
