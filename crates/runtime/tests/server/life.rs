use catena_runtime::Source;

use crate::kit::{Kit, ask, is_closed, query};

#[tokio::test]
async fn services_start_plugin_by_plugin_and_end_in_three_rounds() {
    let kit = Kit::start("a.:0 {\n second x\n first x\n}\nb.:0 {\n first y\n}").await;
    assert_eq!(
        kit.log.take(),
        [
            "[INFO] plugin/first: start x",
            "[INFO] plugin/first: start y",
            "[INFO] plugin/second: start x",
            "[INFO] plugin/first: serving x on 1",
            "[INFO] plugin/first: serving y on 1",
            "[INFO] plugin/second: serving x on 1",
        ]
    );
    kit.server.end_services().await;
    assert_eq!(
        kit.log.take()[..9],
        [
            "[INFO] plugin/first: ending x",
            "[INFO] plugin/first: ending y",
            "[INFO] plugin/second: ending x",
            "[INFO] plugin/first: shutdown x",
            "[INFO] plugin/first: shutdown y",
            "[INFO] plugin/second: shutdown x",
            "[INFO] plugin/first: final x",
            "[INFO] plugin/first: final y",
            "[INFO] plugin/second: final x",
        ]
    );
    kit.server.close().await;
}

#[tokio::test]
async fn queries_are_answered_until_the_sockets_close() {
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    let addr = kit.addr().await;
    assert_eq!(ask(addr).await, Some(0));
    kit.server.end_services().await;
    assert_eq!(ask(addr).await, Some(0));
    kit.server.close().await;
    assert!(is_closed(addr).await);
}

#[tokio::test]
async fn a_service_that_does_not_start_ends_the_start_and_those_before_it() {
    let (failure, log) = Kit::try_start(Source::text(".:0 {\n first good\n second broken\n}")).await.err().unwrap();
    assert_eq!(failure.line, "plugin/second: does not start");
    assert!(log.contains(&"[INFO] plugin/first: shutdown good".to_owned()), "{log:?}");
}

#[tokio::test]
async fn a_server_that_ends_is_not_reloaded() {
    let kit = Kit::start(".:0 {\n whoami\n}").await;
    kit.server.end_services().await;
    assert_eq!(kit.replace(".:0 {\n}").await.unwrap_err().line, "the server is shutting down");
    kit.server.close().await;
}

#[tokio::test]
async fn the_zone_that_serves_a_name_answers_without_a_socket() {
    let kit = Kit::start("other.:0 {\n}\nexample.org:0 {\n whoami\n}").await;
    let reply = kit.server.ask(&query(0x1234)).await.unwrap();
    assert_eq!((reply[0], reply[1], reply[3] & 15), (0x12, 0x34, 0));
    assert_eq!(kit.server.ask(b"short").await, None);
    kit.end().await;
}

#[tokio::test]
async fn a_file_that_is_missing_is_told_as_coredns_does() {
    let (failure, _) = Kit::try_start(Source::File("/no/Corefile".into())).await.err().unwrap();
    assert_eq!(failure.whole(), "loading Caddyfile via flag: open /no/Corefile: no such file or directory");
}
