//! Queries of a batch that look ahead before they are served. Seen from outside.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use catena_core::foresight::FORESIGHT_STEPS;
use catena_core::{Answer, Foresight, Next, Plugin, PluginDef, Query, Rcode, Reply, Setup, View, async_trait};
use catena_testkit::{Ask, Kit, Recipe};
use prometheus::Counter;

/// Counts its steps, and checks that it is told what it said.
const SEER: PluginDef = PluginDef::new("seer", |cx: &mut Setup<'_>| {
    let steps = cx.metrics().counter("steps", "steps", &[]).with_label_values::<&str>(&[]);
    cx.link(Seer { steps });
    Ok(())
});

/// The same behind another one.
const SECOND: PluginDef = PluginDef::new("second", |cx: &mut Setup<'_>| {
    let steps = cx.metrics().counter("steps_of_second", "steps", &[]).with_label_values::<&str>(&[]);
    cx.link(Seer { steps });
    Ok(())
});

struct Seer {
    steps: Counter,
}

#[async_trait]
impl Plugin for Seer {
    async fn serve(&self, query: &mut Query, next: Next<'_>) -> Reply {
        if next.name().is_some() { next.run(query).await } else { Answer::to(query).into() }
    }

    fn foresight(&self) -> Option<&dyn Foresight> {
        Some(self)
    }
}

impl Foresight for Seer {
    fn step(&self, query: &Query, step: usize, trace: u64) -> u64 {
        assert_eq!(trace, if step == 0 { 0 } else { u64::from(query.id()) * 10 + step as u64 - 1 });
        self.steps.inc();
        u64::from(query.id()) * 10 + step as u64
    }
}

/// Takes every query and counts how often it was asked.
const COUNTED: PluginDef = PluginDef::new("counted", |cx: &mut Setup<'_>| {
    let asked = cx.metrics().counter("asked", "asked", &[]).with_label_values::<&str>(&[]);
    cx.view(Arc::new(Counted(asked)));
    Ok(())
});

struct Counted(Counter);

impl View for Counted {
    fn name(&self) -> &str {
        "counted"
    }

    fn takes(&self, _query: &Query) -> bool {
        self.0.inc();
        true
    }
}

fn foresee(kit: &Kit, query: &mut Query) -> bool {
    let Some(mut sight) = kit.instance().foresee(query) else { return false };
    for _ in 1..FORESIGHT_STEPS {
        sight.go_on(query);
    }
    true
}

fn rcode_of(kit: &Kit, query: &mut Query) -> Option<Rcode> {
    kit.run(kit.instance().serve(query)).rcode()
}

#[test]
fn of_a_chain_the_first_link_with_foresight_takes_all_steps() {
    let kit = Kit::of([SEER, SECOND], "second\nseer");
    let mut query = kit.query(0, &Ask::new("a.example.org A"));
    assert!(foresee(&kit, &mut query));
    assert_eq!((kit.metric("steps"), kit.metric("steps_of_second")), (Some(FORESIGHT_STEPS as f64), Some(0.0)));
    assert_eq!(rcode_of(&kit, &mut query), Some(Rcode::NOERROR));
}

#[test]
fn a_view_is_asked_once_for_a_query_that_looked_ahead_and_again_for_the_next_message() {
    let kit = Kit::of([COUNTED, SEER], "counted\nseer");
    let ask = Ask::new("a.example.org A");
    let mut query = kit.query(0, &ask);
    foresee(&kit, &mut query);
    assert_eq!((rcode_of(&kit, &mut query), kit.metric("asked")), (Some(Rcode::NOERROR), Some(1.0)));
    foresee(&kit, &mut query);
    let arrival = query.arrival().clone();
    query.read(&ask.message(), arrival);
    assert_eq!((rcode_of(&kit, &mut query), kit.metric("asked")), (Some(Rcode::NOERROR), Some(3.0)));
}

#[test]
fn what_will_be_refused_looks_nowhere_and_is_refused_when_it_is_served() {
    let kit = Recipe::new([SEER], "example.org {\nseer\n}").build().unwrap_or_else(|_| panic!("it is right"));
    let mut query = kit.query(0, &Ask::new("a.example.net A"));
    assert!(!foresee(&kit, &mut query));
    assert_eq!((rcode_of(&kit, &mut query), kit.metric("steps")), (Some(Rcode::REFUSED), Some(0.0)));
}

#[test]
fn a_query_of_another_edns_version_looks_nowhere_and_is_told_so_when_it_is_served() {
    let kit = Kit::of([SEER], "seer");
    let mut query = kit.query(0, &Ask::new("a.example.org A").edns(1232, false));
    query.edns_mut().as_mut().unwrap().version = 1;
    assert!(!foresee(&kit, &mut query));
    assert_eq!((rcode_of(&kit, &mut query), kit.metric("steps")), (Some(Rcode::BADVERS), Some(0.0)));
}
