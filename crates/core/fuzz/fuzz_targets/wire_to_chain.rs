#![no_main]

use catena_testkit::WireToChain;

thread_local! {
    static WAY: WireToChain = WireToChain::default();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| WAY.with(|way| way.feed(data)));
