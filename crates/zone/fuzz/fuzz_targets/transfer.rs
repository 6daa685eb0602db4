//! Any messages as a transfer. Run with `cargo +nightly fuzz run transfer` in `crates/zone`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catena_zone::inbound::fuzz_one(data));
