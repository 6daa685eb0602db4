//! Asking a server from inside the process, without a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use catena_core::corefile::Transport;
use catena_core::{Arrival, Env, Instance, Intake, Protocol, Query, Rcode, Reply, finish};

/// Lets the instance answer a message, as if it had come over TCP from the local host. `None`: nothing is said.
///
/// The listener is the first that serves the name asked, or the first of all.
pub(crate) async fn ask(env: Env, message: &[u8]) -> Option<Vec<u8>> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut arrival = Arrival {
        client: nobody,
        local: nobody,
        protocol: Protocol::Tcp,
        transport: Transport::Dns,
        listener: 0,
        received: env.clock.now(),
        is_crowded: false,
    };
    let env = Arc::new(env);
    let mut query = Query::new(Arc::clone(&env), arrival.clone());
    if query.read(message, arrival.clone()) == Intake::Serve {
        arrival.listener = listener_for(&env.instance, &query);
    }
    let reply = match query.read(message, arrival) {
        Intake::Drop => return None,
        Intake::Reject(reply) => return Some(reply),
        Intake::Serve => env.instance.serve(&mut query).await,
        Intake::NoQuestion => Reply::status(Rcode::SERVFAIL),
    };
    let mut out = Vec::new();
    finish(&mut query, reply, &mut out).is_send().then_some(out)
}

fn listener_for(instance: &Instance, query: &Query) -> usize {
    let name = query.lower().as_slice();
    let serves = |zone: &[u8]| name.ends_with(zone);
    let found =
        instance.listeners().iter().position(|listener| listener.zones.iter().any(|(zone, _)| serves(zone.wire())));
    found.unwrap_or(0)
}
