//! A DNS server inside of another program: started, asked, changed, stopped.
//!
//! `cargo run -p example-embed`

use catena::{Failure, Rtype};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::disallowed_macros)]
async fn main() -> Result<(), Failure> {
    let first = "example.org:0 {\n bind 127.0.0.1\n hosts {\n 192.0.2.1 www.example.org\n }\n}";
    let dns = catena::stock().without("kubernetes").start(first).await?;
    println!("listens on {:?}", dns.addrs().await);
    show(&dns, "www.example.org").await;

    // A reload keeps the old server if the new text is wrong.
    let wrong = dns.reload("example.org:0 {\n hsots\n}").await;
    println!("a misspelt directive: {}", wrong.map_or_else(|failure| failure.to_string(), |()| "was taken".to_owned()));
    show(&dns, "www.example.org").await;

    dns.reload(&first.replace("192.0.2.1", "192.0.2.2")).await?;
    show(&dns, "www.example.org").await;
    dns.stop().await;
    Ok(())
}

#[allow(clippy::disallowed_macros)]
async fn show(dns: &catena::Running, name: &str) {
    match dns.ask(name, Rtype::A).await {
        Some(reply) => println!("{name}: {}, {} records", reply.header().rcode(), reply.header_counts().ancount()),
        None => println!("{name}: no reply"),
    }
}
