use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::TcpStream;

use crate::kit::{Kit, ask, ask_blocking, ask_tcp, is_closed, page};

const FAILED: &str = "coredns_reload_failed_total";

#[tokio::test]
async fn a_bad_corefile_changes_nothing_but_log_lines_and_a_counter() {
    let kit = Kit::start(".:0 {\n first x\n whoami\n}").await;
    let addr = kit.addr().await;
    assert_eq!(kit.metric(FAILED), Some(0.0));
    kit.log.take();
    let failure = kit.replace(".:0 {\n nosuch\n other\n}").await.unwrap_err();
    let line = "Corefile:2 - Error during parsing: Unknown directive 'nosuch'";
    assert_eq!(failure.line, format!("starting with listener file descriptors: {line}"));
    let log = kit.log.take();
    assert_eq!(log[0], "[INFO] Reloading");
    assert!(log[1].starts_with(&format!("[ERROR] Restart failed: {line}\n")), "{log:?}");
    assert!(log[1].contains("--> Corefile:3:2"), "every diagnostic is shown: {log:?}");
    assert_eq!(log.len(), 2);
    assert_eq!(kit.metric(FAILED), Some(1.0));
    assert_eq!((kit.addr().await, ask(addr).await), (addr, Some(0)));
    kit.end().await;
}

#[tokio::test]
async fn a_corefile_without_a_server_block_changes_nothing() {
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    let addr = kit.addr().await;
    for text in ["", "# being written\n", "(snippet) {\n whoami\n}\n"] {
        let failure = kit.replace(text).await.unwrap_err();
        assert!(failure.line.ends_with("the Corefile has no server block"), "{}", failure.line);
        assert_eq!((kit.addr().await, ask(addr).await), (addr, Some(0)));
    }
    kit.end().await;
}

#[tokio::test]
async fn a_corefile_that_listens_nowhere_changes_nothing() {
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    let addr = kit.addr().await;
    let failure = kit.replace("unix://x {\n first y\n}").await.unwrap_err();
    assert!(failure.line.ends_with("nothing would be listened on"), "{}", failure.line);
    assert!(kit.log.lines().iter().any(|line| line == "[ERROR] Restart failed: nothing would be listened on"));
    assert!(!kit.log.lines().iter().any(|line| line.contains("start y")));
    assert_eq!((kit.addr().await, ask(addr).await), (addr, Some(0)));
    kit.end().await;
}

#[tokio::test]
async fn a_taken_port_changes_nothing() {
    let kit = Kit::start(".:0 {\n first x\n whoami\n page old\n}").await;
    let taken = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    kit.log.take();
    let failure = kit.replace(&format!(".:0 .:{port} {{\n first y\n page new\n}}")).await.unwrap_err();
    let reason = format!("Listen: listen tcp :{port}: bind: address already in use");
    assert!(failure.line.ends_with(&reason), "{}", failure.line);
    assert_eq!(ask(kit.addr().await).await, Some(0));
    assert_eq!(page(kit.server.http_addrs().await[0].1).await, "old");
    let log = kit.log.take();
    assert!(log.contains(&"[INFO] plugin/first: shutdown y".to_owned()), "what was started is shut down: {log:?}");
    assert!(!log.iter().any(|line| line.contains("shutdown x")));
    kit.end().await;
}

#[tokio::test]
async fn a_service_that_does_not_start_or_panics_changes_nothing() {
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    for (name, told) in
        [("broken", "plugin/first: does not start"), ("panics", "a plugin panicked while it was started")]
    {
        let failure = kit.replace(&format!(".:0 {{\n first {name}\n}}")).await.unwrap_err();
        assert!(failure.line.ends_with(told), "{}", failure.line);
        assert_eq!(ask(kit.addr().await).await, Some(0));
    }
    assert_eq!(kit.metric(FAILED), Some(2.0));
    kit.end().await;
}

#[tokio::test]
async fn an_address_that_stays_keeps_its_socket_and_its_connections() {
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    let addr = kit.addr().await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask_tcp(&mut stream).await, 0);
    // REFUSED: a block without a chain.
    kit.replace(".:0 {\n}").await.unwrap();
    assert_eq!(kit.addr().await, addr);
    assert_eq!((ask_tcp(&mut stream).await, ask(addr).await), (5, Some(5)));
    kit.end().await;
}

#[tokio::test]
async fn an_address_that_is_gone_is_closed_and_one_that_is_new_is_open() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    let addr = kit.addr().await;
    kit.replace(&format!(".:{free} {{\n whoami\n}}")).await.unwrap();
    assert!(is_closed(addr).await);
    assert_eq!(ask(([127, 0, 0, 1], free).into()).await, Some(0));
    kit.end().await;
}

#[tokio::test]
async fn no_query_is_lost_over_reloads() {
    let kit = Kit::start(".:0 {\n count\n}").await;
    let addr = kit.addr().await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking: Vec<_> = (0..4_u16)
        .map(|id| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(ask_blocking(addr, id), Some(0), "a query was lost");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..20 {
        kit.replace(&format!(".:0 {{\n count\n}}\nx{round}.:0 {{\n count\n}}")).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for thread in asking {
        thread.join().unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 100);
    kit.end().await;
}

#[tokio::test]
async fn side_http_keeps_its_socket_and_serves_the_new_instance() {
    let kit = Kit::start(".:0 {\n page old\n}").await;
    let addr = kit.server.http_addrs().await[0].1;
    assert_eq!(page(addr).await, "old");
    kit.replace(".:0 {\n page new\n}").await.unwrap();
    assert_eq!(kit.server.http_addrs().await[0].1, addr);
    assert_eq!(page(addr).await, "new");
    kit.replace(".:0 {\n}").await.unwrap();
    assert!(kit.server.http_addrs().await.is_empty());
    kit.end().await;
}

#[tokio::test]
async fn the_old_instance_ends_when_the_new_one_serves_and_counters_go_on() {
    let kit = Kit::start(".:0 {\n first x\n}").await;
    kit.log.take();
    kit.replace(".:0 {\n first y\n}").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(
        kit.log.take(),
        [
            "[INFO] Reloading",
            "[INFO] plugin/first: start y",
            "[INFO] plugin/first: serving y on 1",
            "[INFO] plugin/first: shutdown x",
            "[INFO] Reloading complete",
            "[INFO] plugin/first: task of x ended",
        ]
    );
    assert_eq!(kit.metric("test_started_total"), Some(2.0));
    kit.end().await;
}
