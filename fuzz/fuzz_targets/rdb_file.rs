#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cahoots::fuzz::rdb_file(data));
