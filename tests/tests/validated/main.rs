//! What *dnssec* signs holds for other people's validators, `delv` and Unbound, whichever plugin answered: *file*, *hosts*, *template*,
//! *kubernetes* or *k8s_external*.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod clusters;
mod support;

use support::Found::{Denial, Records};
use support::Server;

const ZONE: &str = include_str!("../../fixtures/zones/kinds.zone");

#[test]
fn answers_of_file_are_validated() {
    let server = Server::start(&["example.org"], &[("db", ZONE)], "file {folder}/db", "", ("example.org", "SOA"));
    server.check(&[
        ("example.org", "SOA", Records),
        ("example.org", "NS", Records),
        ("example.org", "MX", Records),
        ("example.org", "DNSKEY", Records),
        ("example.org", "CDS", Records),
        ("example.org", "CDNSKEY", Records),
        ("mail.example.org", "A", Records),
        ("mail.example.org", "AAAA", Records),
        ("MAIL.Example.ORG", "A", Records),
        ("one.example.org", "A", Records),
        ("one.example.org", "CNAME", Records),
        ("host.tree.example.org", "A", Records),
        ("b.ent.example.org", "TXT", Records),
        ("_http._tcp.example.org", "SRV", Records),
        ("web.example.org", "HTTPS", Records),
        ("x.w.example.org", "TXT", Records),
        ("y.x.w.example.org", "TXT", Records),
        ("x.c.example.org", "AAAA", Records),
        ("sec.example.org", "DS", Records),
        ("missing.example.org", "A", Denial),
        ("missing.example.org", "DS", Denial),
        ("a.b.c.d.missing.example.org", "TXT", Denial),
        ("mail.example.org", "TXT", Denial),
        ("mail.example.org", "DS", Denial),
        ("example.org", "TXT", Denial),
        ("ent.example.org", "A", Denial),
        ("w.example.org", "TXT", Denial),
        ("x.w.example.org", "A", Denial),
        ("uns.example.org", "DS", Denial),
    ]);
}

#[test]
fn answers_of_hosts_are_validated_also_what_it_has_not() {
    let hosts =
        "192.0.2.7 seven.example.org also.example.org\n2001:db8::8 eight.example.org\n192.0.2.9 *.w.example.org\n";
    let server = Server::start(
        &["example.org", "in-addr.arpa"],
        &[("hosts", hosts)],
        "hosts {folder}/hosts",
        "",
        ("seven.example.org", "A"),
    );
    server.check(&[
        ("example.org", "DNSKEY", Records),
        ("seven.example.org", "A", Records),
        ("Also.example.org", "A", Records),
        ("eight.example.org", "AAAA", Records),
        ("x.w.example.org", "A", Records),
        ("7.2.0.192.in-addr.arpa", "PTR", Records),
        ("seven.example.org", "AAAA", Denial),
        ("seven.example.org", "TXT", Denial),
        ("eight.example.org", "A", Denial),
        ("eight.example.org", "HTTPS", Denial),
        ("seven.example.org", "DS", Denial),
        ("x.w.example.org", "AAAA", Denial),
    ]);
}

#[test]
fn a_denial_of_hosts_has_the_soa_record_of_the_zone_that_the_server_has_besides() {
    let server = Server::start(
        &["example.org"],
        &[("db", ZONE)],
        "hosts {\n192.0.2.7 seven.example.org\nfallthrough\n}\nfile {folder}/db",
        "",
        ("seven.example.org", "A"),
    );
    server.check(&[
        ("seven.example.org", "A", Records),
        ("mail.example.org", "A", Records),
        ("seven.example.org", "AAAA", Denial),
        ("missing.example.org", "A", Denial),
    ]);
    let said = catena_tests::peer::dig(server.port, false, &["+dnssec", "seven.example.org", "AAAA"]);
    assert!(said.contains("42 7200 3600 1209600 300"), "{said}");
}

#[test]
fn answers_of_template_are_validated() {
    let soa = "example.org. 60 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60";
    let body = format!(
        "template IN SOA example.org {{\nmatch ^example\\.org\\.$\nanswer \"{soa}\"\nfallthrough\n}}\n\
         template IN A example.org {{\nmatch ^ip-(?P<d>[0-9]+)\\.example\\.org\\.$\nanswer \"{{{{ .Name }}}} 60 IN A 192.0.2.{{{{ .Group.d }}}}\"\nfallthrough\n}}\n\
         template IN SRV example.org {{\nmatch ^_s\\._tcp\\.\nanswer \"{{{{ .Name }}}} 60 IN SRV 1 2 80 ip-3.example.org.\"\n\
         additional \"ip-3.example.org. 60 IN A 192.0.2.3\"\nfallthrough\n}}\n\
         template IN A example.org {{\nmatch ^alias\\.example\\.org\\.$\nanswer \"{{{{ .Name }}}} 60 IN CNAME ip-9.example.org.\"\nfallthrough\n}}\n\
         template IN TXT example.org {{\nmatch ^made\\.\nanswer \"{{{{ .Name }}}} 60 IN TXT made\"\nfallthrough\n}}\n\
         template IN AAAA example.org {{\nmatch ^ip-\nrcode NOERROR\nauthority \"{soa}\"\nfallthrough\n}}\n\
         template IN MX example.org {{\nmatch ^ip-\nrcode NOERROR\nfallthrough\n}}\n\
         template ANY ANY example.org {{\nrcode NXDOMAIN\nauthority \"{soa}\"\n}}"
    );
    let server = Server::start(&["example.org"], &[], &body, "", ("example.org", "SOA"));
    server.check(&[
        ("example.org", "SOA", Records),
        ("example.org", "DNSKEY", Records),
        ("ip-7.example.org", "A", Records),
        ("alias.example.org", "A", Records),
        ("made.up.example.org", "TXT", Records),
        ("_s._tcp.example.org", "SRV", Records),
        ("ip-7.example.org", "AAAA", Denial),
        ("ip-7.example.org", "MX", Denial),
        ("missing.example.org", "A", Denial),
        ("missing.example.org", "DS", Denial),
    ]);
}
