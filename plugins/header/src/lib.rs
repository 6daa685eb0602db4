//! *header* sets and clears flags in the header of queries and replies.

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("header", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let header = parse(&mut cx.cursor())?;
    cx.link(header);
    Ok(())
}

/// The flags that rules may name.
const FLAGS: [(&str, u16); 3] = [("aa", flags::AA), ("ra", flags::RA), ("rd", flags::RD)];

/// What to do to the flags of a message: of two rules for one flag the later one counts.
#[derive(Default)]
struct Rules {
    set: u16,
    clear: u16,
}

impl Rules {
    fn are_empty(&self) -> bool {
        self.set | self.clear == 0
    }

    fn add(&mut self, flag: u16, on: bool) {
        let (into, from) = if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *into |= flag;
        *from &= !flag;
    }
}

#[derive(Default)]
struct Header {
    query: Rules,
    response: Rules,
}

/// CoreDNS: plugin/header. The first directive with rules counts, the others are not read.
fn parse(words: &mut Cursor<'_>) -> Result<Header, Diagnostic> {
    while words.next() {
        let mut header = Header::default();
        while words.next_block() {
            let selector = words.val().to_ascii_lowercase();
            let rules = match selector.as_str() {
                "query" => &mut header.query,
                "response" => &mut header.response,
                _ => {
                    let told = fault(words, format!("invalid selector={selector} should be query or response"));
                    return Err(words.with_nearest(told, &["query", "response"]));
                }
            };
            parse_rule(words, rules)?;
        }
        if !header.query.are_empty() || !header.response.are_empty() {
            return Ok(header);
        }
    }
    Err(words.arg_err())
}

fn parse_rule(words: &mut Cursor<'_>, rules: &mut Rules) -> Result<(), Diagnostic> {
    if !words.next_arg() || words.val().is_empty() {
        return Err(fault(words, "no flag action provided"));
    }
    let action = words.val().to_ascii_lowercase();
    let unknown = fault(words, format!("unknown flag action={action}, should be set or clear"));
    let names = words.remaining_tokens();
    if names.is_empty() {
        return Err(fault(words, "invalid length for flags, at least one should be provided"));
    }
    let on = match action.as_str() {
        "set" => true,
        "clear" => false,
        _ => return Err(unknown),
    };
    for token in names {
        let name = token.text.to_ascii_lowercase();
        let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == name) else {
            return Err(fault(words, format!("unknown/unsupported flag={name}")).at(token));
        };
        rules.add(*flag, on);
    }
    Ok(())
}

fn fault(words: &Cursor<'_>, what: impl std::fmt::Display) -> Diagnostic {
    words.plain_err(format!("setting up rule: {what}"))
}

#[async_trait]
impl Plugin for Header {
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {
        q.set_flag(self.query.set, true);
        q.set_flag(self.query.clear, false);
        let mut reply = next.run(q).await;
        if let Some(answer) = reply.answer_mut() {
            answer.set(self.response.set, true);
            answer.set(self.response.clear, false);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_core::Fixed;
    use catena_core::prelude::*;
    use catena_testkit::{Ask, Kit, check, check_config};

    /// Answers with AA, and with RA if the query has it.
    const MIRROR: PluginDef = PluginDef::new("mirror", |cx: &mut Setup<'_>| {
        cx.link(Fixed(|q: &mut Query| {
            if q.qtype() == Rtype::TXT {
                return Reply::status(Rcode::SERVFAIL);
            }
            let mut answer = Answer::to(q).authoritative();
            answer.set(flags::RA, q.has(flags::RA));
            answer.into()
        }));
        Ok(())
    });

    fn seen(rules: &str, flags: u16) -> String {
        let kit = Kit::of([PLUGIN, MIRROR], &format!("header {{\n{rules}\n}}\nmirror"));
        kit.ask(&Ask::new("example.org A").flags(flags)).flags.join(" ")
    }

    #[test]
    fn flags_of_replies_are_set_and_cleared() {
        assert_eq!(seen("response set ra\nresponse clear aa rd", flags::RD), "qr ra");
        assert_eq!(seen("Response SET Ra", flags::RD), "qr aa rd ra");
    }

    #[test]
    fn the_last_rule_for_a_flag_counts() {
        assert_eq!(seen("response set ra aa\nresponse clear rd\nresponse clear aa", flags::RD), "qr ra");
        assert_eq!(seen("response clear aa\nresponse set aa", 0), "qr aa");
    }

    #[test]
    fn flags_of_queries_are_changed_for_what_comes_after() {
        assert_eq!(seen("query clear rd", flags::RD), "qr aa");
        assert_eq!(seen("query set rd ra", 0), "qr aa rd ra");
    }

    #[test]
    fn an_error_without_a_message_is_left_alone() {
        let script = "
            > example.org TXT
            < SERVFAIL qr rd";
        check([PLUGIN, MIRROR], "header {\nresponse set ra\n}\nmirror", script);
    }

    #[test]
    fn only_the_first_directive_with_rules_counts() {
        let body = "header {\n}\nheader {\nresponse set ra\n}\nheader {\nresponse clear aa\n}\nmirror";
        check([PLUGIN, MIRROR], body, "> example.org A\n < NOERROR qr aa rd ra");
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for (rules, told) in [
            ("answer set aa", "invalid selector=answer should be query or response"),
            ("query", "no flag action provided"),
            ("response set", "invalid length for flags, at least one should be provided"),
            ("response toggle aa", "unknown flag action=toggle, should be set or clear"),
            ("response set tc", "unknown/unsupported flag=tc"),
        ] {
            let body = format!("header {{\n{rules}\nresponse set aa\n}}");
            check_config([PLUGIN], &body, &format!("plugin/header: setting up rule: {told}"));
        }
    }

    #[test]
    fn there_must_be_a_rule() {
        let told = "Error during parsing: Wrong argument count or unexpected line ending after";
        check_config([PLUGIN], "header", &format!("plugin/header: Corefile:2 - {told} 'header'"));
        check_config([PLUGIN], "header {\n}", &format!("plugin/header: Corefile:3 - {told} '}}'"));
    }
}
