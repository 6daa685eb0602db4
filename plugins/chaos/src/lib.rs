//! *chaos* tells about the server itself: version, authors and host name, as TXT records in class CH.

use std::path::Path;

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("chaos", setup);

/// The longest string of a TXT record, octets (RFC 1035 section 3.3).
const STRING_OCTETS_MAX: usize = 255;
/// The authors told if none are given.
const AUTHORS: [&str; 1] = ["The Catena Authors"];
/// Where Linux tells the host's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    words.next();
    let args = words.remaining_args();
    let version = args.first().map_or_else(|| cx.product().to_owned(), |version| (*version).to_owned());
    let mut authors: Vec<String> = args.iter().skip(1).map(|author| cut(author)).collect();
    if args.len() < 2 {
        authors = AUTHORS.map(str::to_owned).to_vec();
    }
    authors.sort();
    authors.dedup();
    if words.next_block() {
        return Err(words.unknown_property(&[]));
    }
    let host = cx.files().read(Path::new(HOST_NAME_FILE)).ok().and_then(|name| String::from_utf8(name).ok());
    let host = host.map(|name| cut(name.trim())).filter(|name| !name.is_empty());
    cx.link(Chaos { version: cut(&version), authors, host: host.unwrap_or_else(|| "localhost".to_owned()) });
    Ok(())
}

/// Cuts a string to what one TXT string holds, at a character.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(STRING_OCTETS_MAX)].to_owned()
}

struct Chaos {
    version: String,
    authors: Vec<String>,
    host: String,
}

impl Chaos {
    /// The strings for a name, each a record of its own; `None` if the name is none of ours.
    fn strings(&self, lower: &[u8], second: u64) -> Option<Vec<&str>> {
        Some(match lower {
            b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => vec![&self.version],
            b"\x08hostname\x04bind\x00" | b"\x02id\x06server\x00" => vec![&self.host],
            b"\x07authors\x04bind\x00" => {
                let mut authors: Vec<&str> = self.authors.iter().map(String::as_str).collect();
                let turns = usize::try_from(second).unwrap_or(0) % authors.len().max(1);
                authors.rotate_left(turns);
                authors
            }
            _ => return None,
        })
    }
}

#[async_trait]
impl Plugin for Chaos {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        if q.qclass() != Class::CH || q.qtype() != Rtype::TXT {
            return next.run(q).await;
        }
        let Some(strings) = self.strings(q.lower().as_slice(), q.clock().unix_seconds()) else {
            return next.run(q).await;
        };
        let mut answer = Answer::to(q);
        for string in strings {
            let mut rdata = vec![u8::try_from(string.len()).unwrap_or(0)];
            rdata.extend_from_slice(string.as_bytes());
            answer.push_wire(Section::Answer, q.name().as_slice(), Rtype::TXT, Class::CH, 0, &rdata);
        }
        answer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{PLUGIN, STRING_OCTETS_MAX, cut};
    use catena_testkit::{Recipe, check, check_config};

    #[test]
    fn tells_its_version_in_the_case_of_the_question() {
        let script = r#"
            > Version.BIND TXT CH
            < NOERROR qr rd
            = Version.BIND. 0 CH TXT "Nine 9.9"
            > version.server TXT CH
            = version.server. 0 CH TXT "Nine 9.9""#;
        check([PLUGIN], r#"chaos "Nine 9.9""#, script);
    }

    #[test]
    fn the_product_is_the_version_if_none_is_given() {
        check([PLUGIN], "chaos", "> version.bind TXT CH\n = version.bind. 0 CH TXT \"Catena-0.1.0\"");
    }

    #[test]
    fn every_author_is_told_once() {
        let script = r#"
            > authors.bind TXT CH
            = authors.bind. 0 CH TXT "adam"
            = authors.bind. 0 CH TXT "zoe""#;
        check([PLUGIN], "chaos v zoe adam zoe", script);
    }

    #[test]
    fn the_host_name_is_told_and_localhost_in_its_absence() {
        let ask = |recipe: Recipe| recipe.build().ok().map(|kit| kit.ask_for("hostname.bind TXT CH").answer);
        let named = Recipe::new([PLUGIN], ". {\n chaos\n}\n").file(super::HOST_NAME_FILE, "ns1\n");
        assert_eq!(ask(named), Some(vec!["hostname.bind. 0 CH TXT \"ns1\"".to_owned()]));
        let unnamed = Recipe::new([PLUGIN], ". {\n chaos\n}\n").file(super::HOST_NAME_FILE, "\n");
        assert_eq!(ask(unnamed), Some(vec!["hostname.bind. 0 CH TXT \"localhost\"".to_owned()]));
    }

    #[test]
    fn other_names_types_and_classes_pass() {
        for question in ["other.bind TXT CH", "version.bind A CH", "version.bind TXT IN"] {
            check([PLUGIN], "chaos", &format!("> {question}\n < SERVFAIL qr rd"));
        }
    }

    #[test]
    fn strings_are_cut_to_what_a_txt_record_holds() {
        assert_eq!(cut(&"a".repeat(STRING_OCTETS_MAX)).len(), STRING_OCTETS_MAX);
        assert_eq!(cut(&"a".repeat(STRING_OCTETS_MAX + 1)).len(), STRING_OCTETS_MAX);
        assert_eq!(cut(&"é".repeat(STRING_OCTETS_MAX)).len(), STRING_OCTETS_MAX - 1);
    }

    #[test]
    fn takes_no_block() {
        let told = "plugin/chaos: Corefile:3 - Error during parsing: unknown property 'x'";
        check_config([PLUGIN], "chaos {\nx\n}", told);
    }
}
