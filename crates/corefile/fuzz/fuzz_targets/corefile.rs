//! Any bytes as a Corefile or a ConfigMap manifest. Run with `cargo +nightly fuzz run corefile` in `crates/corefile`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catena_corefile::fuzz_one(data));
