use std::sync::Arc;

use catena::{PluginDef, PluginList, Rtype, stock};
use catena_core::prelude::*;
use domain::base::iana::Rcode as Code;
use domain::rdata::A;

/// Answers everything with 192.0.2.7.
const SEVEN: PluginDef = PluginDef::new("seven", |cx| {
    cx.link(catena_core::Fixed(|q: &mut Query| {
        let mut answer = Answer::to(q);
        answer.push_address(Section::Answer, q.name(), Class::IN, 60, [192, 0, 2, 7].into());
        answer.into()
    }));
    Ok(())
});

#[tokio::test]
async fn two_servers_with_different_lists_live_in_one_process() {
    let one = stock().without("whoami").after("cache", SEVEN).start("example.org:0 {\n seven\n}").await.unwrap();
    let two =
        catena::Builder::new(PluginList::new(stock().plugins().iter().copied().filter(|def| def.name == "whoami")));
    let two = two.start("example.org:0 {\n whoami\n}").await.unwrap();
    let reply = one.ask("www.example.org", Rtype::A).await.unwrap();
    let records: Vec<_> = reply.answer().unwrap().limit_to::<A>().map(|record| record.unwrap().data().addr()).collect();
    assert_eq!(records, [std::net::Ipv4Addr::new(192, 0, 2, 7)]);
    let reply = two.ask("www.example.org", Rtype::A).await.unwrap();
    assert_eq!((reply.header_counts().ancount(), reply.header_counts().arcount()), (0, 2));
    assert_ne!(one.addrs().await, two.addrs().await);
    for (server, directive) in [(&one, "whoami"), (&two, "seven")] {
        let failure = server.reload(&format!(".:0 {{\n {directive}\n}}")).await.unwrap_err();
        assert!(failure.line.ends_with(&format!("Unknown directive '{directive}'")), "{failure}");
    }
    one.stop().await;
    let still = two.ask("www.example.org", Rtype::A).await.unwrap();
    assert_eq!(still.header().rcode(), Code::NOERROR);
    two.stop().await;
}

#[tokio::test]
async fn a_directive_that_was_left_out_is_told_as_such() {
    let failure = stock().without("whoami").start(".:0 {\n whoami\n}").await.err().unwrap();
    assert_eq!(failure.line, "Corefile:2 - Error during parsing: Unknown directive 'whoami'");
    assert!(failure.whole().contains("CoreDNS has whoami; this build does not"), "{}", failure.whole());
}

#[tokio::test]
async fn a_reload_keeps_the_address() {
    let dns = stock().start("example.org:0 {\n whoami\n}").await.unwrap();
    let addr = dns.addrs().await[0];
    dns.reload("example.org:0 {\n}").await.unwrap();
    assert_eq!(dns.addrs().await[0], addr);
    assert_eq!(dns.ask("example.org", Rtype::A).await.unwrap().header().rcode(), Code::REFUSED);
    assert!(dns.ask("no..name", Rtype::A).await.is_none());
    dns.stop().await;
}

#[tokio::test]
async fn a_plugin_that_ends_the_process_ends_an_embedded_server_only() {
    const FATAL: PluginDef = PluginDef::new("fatal", |cx| {
        cx.service(Arc::new(Fatal));
        Ok(())
    });
    struct Fatal;
    #[async_trait]
    impl catena_core::Service for Fatal {
        async fn serving(&self, cx: &catena_core::StartContext<'_>) {
            cx.exit.fatal("fatal", "enough");
        }
    }
    let dns = stock().before("whoami", FATAL).start("example.org:0 {\n fatal\n whoami\n}").await.unwrap();
    let addr = dns.addrs().await[0];
    let port = std::net::SocketAddr::from(([127, 0, 0, 1], addr.port()));
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(port).await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("still listening");
}
