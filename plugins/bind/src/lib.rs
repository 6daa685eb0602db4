//! *bind* names the addresses and interfaces on which a server block listens.
//!
//! Words are read here; which addresses an interface has is looked up when the instance starts.

use catena_core::corefile::Token;
use catena_core::prelude::*;
use catena_core::{BindSpec, Span};

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("bind", setup);

/// The most words of all *bind* lines of a server block.
pub const WORDS_MAX: usize = 1024;

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    let mut specs = Vec::new();
    let mut count = 0;
    while words.next() {
        let spec = parse(&mut words)?;
        count += spec.hosts.len() + spec.except.len();
        if count > WORDS_MAX {
            return Err(words.plain_err(format!("more than {WORDS_MAX} addresses and interface names")));
        }
        specs.push(spec);
    }
    cx.block_settings().bind = specs;
    Ok(())
}

fn parse(words: &mut Cursor<'_>) -> Result<BindSpec, Diagnostic> {
    let mut spec = BindSpec { hosts: placed(words.remaining_tokens()), except: Vec::new() };
    if spec.hosts.is_empty() {
        return Err(words.plain_err("at least one address or interface name is expected"));
    }
    while words.next_block() {
        if words.val() != "except" {
            let fault = words.plain_err(format!("invalid option {:?}", words.val())).with_label("unknown option");
            return Err(words.with_nearest(fault, &["except"]));
        }
        // CoreDNS: the last `except` of a use counts.
        spec.except = placed(words.remaining_tokens());
        if spec.except.is_empty() {
            return Err(words.plain_err("at least one address or interface must be given to except subdirective"));
        }
    }
    Ok(spec)
}

fn placed(words: Vec<&Token>) -> Vec<(String, Option<Span>)> {
    words.into_iter().map(|word| (word.text.to_string(), Some(word.span))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use catena_testkit::{FakeInterfaces, Recipe, check_config};

    /// Where a body listens, `eth0` having one IPv4 and two IPv6 addresses.
    fn listens(body: &str) -> Result<Vec<String>, String> {
        let mut recipe = Recipe::new([PLUGIN], &format!(".:53 {{\n{body}\n}}"));
        let eth0 = ["10.0.0.1", "2001:db8::1", "fe80::1"].map(|ip| ("eth0".to_owned(), ip.parse().unwrap()));
        recipe.interfaces = FakeInterfaces(eth0.to_vec());
        let kit = recipe.build().map_err(|errors| errors[0].0.one_line())?;
        Ok(kit.instance().listeners().iter().map(|listener| listener.label.clone()).collect())
    }

    #[test]
    fn addresses_of_all_lines_come_together() {
        assert_eq!(
            listens("bind 127.0.0.1 ::1\nbind 127.0.0.2").unwrap(),
            ["dns://127.0.0.1:53", "dns://[::1]:53", "dns://127.0.0.2:53"]
        );
    }

    #[test]
    fn an_interface_stands_for_all_its_addresses_link_local_ones_with_its_name() {
        assert_eq!(
            listens("bind eth0").unwrap(),
            ["dns://10.0.0.1:53", "dns://[2001:db8::1]:53", "dns://[fe80::1%eth0]:53"]
        );
    }

    #[test]
    fn except_leaves_out_addresses_of_its_own_line() {
        assert_eq!(
            listens("bind eth0 {\n except 10.0.0.1\n except 2001:db8::1 fe80::9\n}").unwrap(),
            ["dns://10.0.0.1:53", "dns://[fe80::1%eth0]:53"]
        );
        assert_eq!(listens("bind 127.0.0.1 {\n except 127.0.0.2\n}\nbind 127.0.0.2").unwrap().len(), 2);
        assert_eq!(listens("bind eth0 {\n except eth0\n}").unwrap().len(), 0);
    }

    #[test]
    fn what_is_neither_an_address_nor_an_interface_is_told() {
        for word in ["eth1", "fe80::1%eth0", "1.2.3"] {
            assert_eq!(
                listens(&format!("bind {word}")).unwrap_err(),
                format!("plugin/bind: not a valid IP address or interface name: {word:?}")
            );
        }
    }

    #[test]
    fn the_same_address_twice_is_told() {
        assert_eq!(
            listens("bind 127.0.0.1 127.0.0.1").unwrap_err(),
            "cannot serve dns://.:53 on 127.0.0.1 - it is already defined"
        );
    }

    #[test]
    fn faults_of_the_words_are_told() {
        check_config([PLUGIN], "bind", "plugin/bind: at least one address or interface name is expected");
        check_config(
            [PLUGIN],
            "bind ::1 {\n except\n}",
            "plugin/bind: at least one address or interface must be given to except subdirective",
        );
        check_config([PLUGIN], "bind ::1 {\n only ::1\n}", "plugin/bind: invalid option \"only\"");
    }

    #[test]
    fn words_are_limited() {
        let words = |count: usize| (0..count).map(|n| format!(" 127.0.{}.{}", n / 250, n % 250)).collect::<String>();
        assert_eq!(listens(&format!("bind{}", words(WORDS_MAX))).unwrap().len(), WORDS_MAX);
        let told = listens(&format!("bind{}", words(WORDS_MAX + 1))).unwrap_err();
        assert_eq!(told, format!("plugin/bind: more than {WORDS_MAX} addresses and interface names"));
    }
}
