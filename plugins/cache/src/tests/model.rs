use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use catena_core::{Intake, finish};
use proptest::prelude::*;

use super::*;

/// The TTL that the upstream gives.
const TTL: u64 = 30;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_cache_says_what_a_map_with_times_would_say(steps in prop::collection::vec((0..5u8, 0..20u64), 1..60)) {
        let kit = kit("", &format!("ok:{TTL}"));
        let (mut model, mut now, mut asked) = (HashMap::new(), 0, 0);
        for (name, pause) in steps {
            now += pause;
            advance(&kit, pause);
            let known = model.get(&name).copied().filter(|(stored, _)| now - stored < TTL);
            let (stored, number) = known.unwrap_or_else(|| {
                asked += 1;
                (now, asked)
            });
            model.insert(name, (stored, number));
            let seen = show(&kit.ask_for(&format!("n{name}.example.org A")));
            prop_assert_eq!(seen, format!("NOERROR .{}/{}", number, TTL - (now - stored)));
        }
    }
}

#[test]
fn two_threads_get_answers_to_their_own_questions() {
    let kit = kit("{\n success 0\n}", "ok:60");
    let worker = |offset: u32| {
        let first = Ask::new("a.example.org A");
        let (mut query, instance) = (kit.query(0, &first), kit.instance().clone());
        move || {
            let mut wire = Vec::new();
            for round in 0..4000u32 {
                // More names than the store holds, so that entries come and go under the readers.
                let name = format!("n{}.example.org.", (round * 7 + offset) % 1500);
                let arrival = query.arrival().clone();
                assert_eq!(query.read(&Ask::new(&format!("{name} A")).message(), arrival), Intake::Serve);
                let reply = {
                    let mut serving = pin!(instance.serve(&mut query));
                    let Poll::Ready(reply) = serving.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                        panic!("nothing waits here")
                    };
                    reply
                };
                finish(&mut query, reply, &mut wire);
                let seen = Seen::of(&wire);
                assert_eq!(seen.answer.len(), 1);
                assert!(seen.answer[0].starts_with(&format!("{name} 60 IN A 192.0.2.")), "{name}: {:?}", seen.answer);
            }
        }
    };
    let (one, other) = (worker(0), worker(3));
    std::thread::scope(|scope| {
        scope.spawn(one);
        scope.spawn(other);
    });
    assert_eq!(count(&kit, "requests_total"), 8000.0);
    let hits = count_of(&kit, "hits_total", "success");
    assert!(hits > 0.0, "{hits}");
    assert_eq!(hits + count(&kit, "misses_total"), 8000.0);
}
