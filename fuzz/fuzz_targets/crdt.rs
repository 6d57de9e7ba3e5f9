#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cahoots_crdt::exercise::decoding(data));
