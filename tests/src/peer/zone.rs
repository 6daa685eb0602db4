//! Zones to be transferred.

/// A zone file with records of many types, in this version. `hosts` are the names with addresses; a few of them, and a few other records, are other ones in
/// every version. The SOA record has secondaries look for changes every hour: within a test only NOTIFY makes them look.
#[must_use]
pub fn zone_text(serial: u32, hosts: usize) -> String {
    let mut text = format!(
        "$TTL 300\n@ 3600 IN SOA ns.example.org. Admin.example.org. {serial} 3600 600 604800 60\n\
         @ NS ns\n@ NS NS{serial}.Example.NET.\nns A 192.0.2.53\n@ MX 10 Mail{serial}.Example.ORG.\n{MANY}"
    );
    text.push_str(&format!(
        "version TXT \"version {serial}\"\nv{serial} A 192.0.2.99\nalias CNAME V{serial}.Example.org.\n"
    ));
    text.push_str(&format!("_s._tcp SRV 1 2 3 Host{serial}.Example.org.\nback PTR Host{serial}.example.ORG.\n"));
    text.push_str(&format!("ttl {} A 192.0.2.98\n", 300 + serial));
    for host in 0..hosts {
        let third = if host == serial as usize { 200 } else { host >> 8 & 0x7f };
        text.push_str(&format!("host{host} A 10.{}.{third}.{}\n", host >> 15, host & 0xff));
    }
    text
}

/// What is the same in every version. Names in rdata are written in several cases: they have to come back, or go away, whatever the case.
const MANY: &str = r#"
*.wild TXT "any" "name"
a.b.c.deep AAAA 2001:db8::1
sub NS ns.sub
ns.sub A 192.0.2.54
sub DS 12345 13 2 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
dname DNAME other.example.net.
long TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" "" "\000\255\"\\"
info HINFO "machine" "system"
place LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
naptr NAPTR 100 50 "s" "z3950+i2l+i2c" "" _z3950._tcp.Example.org.
caa CAA 0 issue "ca.example.net"
_443._tcp TLSA 3 1 1 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
ssh SSHFP 4 2 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
uri URI 10 1 "https://www.example.org/"
svc HTTPS 1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1
svc SVCB 2 Target.Example.org. key667="x"
rp RP Admin.example.org. Txt.example.org.
afs AFSDB 1 Afs.example.org.
cert CERT 1 12345 8 AQIDBA==
pgp OPENPGPKEY AQIDBA==
eui EUI48 00-00-5e-00-53-2a
eui EUI64 00-00-5e-ef-10-00-00-2a
unknown TYPE65400 \# 4 01020304
empty TYPE65401 \# 0
\$odd\.name TXT "escaped"
"#;
