#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catena_gocompat::resolvconf::fuzz_resolv_conf(data));
