#![allow(clippy::unwrap_used, clippy::expect_used)]

use catena_testkit::check_config;

use super::PLUGIN;

#[test]
fn what_is_wrong_with_the_directive_is_told() {
    let at = |line: u32| format!("plugin/secondary: Corefile:{line} - Error during parsing:");
    let wrong = |property: &str, text: &str| {
        check_config([PLUGIN], &format!("secondary {{\n {property}\n transfer from 192.0.2.1\n}}"), text)
    };
    let none = "secondary zones require a transfer from property";
    check_config([PLUGIN], "secondary", &format!("{} {none}", at(2)));
    wrong("transfer", &format!("{} Wrong argument count or unexpected line ending after 'transfer'", at(3)));
    wrong("transfer to 192.0.2.1", &format!("{} unknown property to", at(3)));
    wrong("transfer from", &format!("{} Wrong argument count or unexpected line ending after 'from'", at(3)));
    wrong("transfer from *", "plugin/secondary: can't use '*' in transfer from");
    wrong("transfer from ns.example.org", "plugin/secondary: must specify an IP address: `ns.example.org'");
    wrong("transfre from 192.0.2.1", &format!("{} unknown property 'transfre'", at(3)));
    let many = (0..64).map(|last| format!(" 192.0.2.{last}")).collect::<String>();
    wrong(&format!("transfer from{many}"), &format!("{} more than 64 primaries for one zone", at(5)));
    wrong("key transfer.key", "plugin/secondary: no key \"transfer.key\" in `tsig` of this server block");
}

mod handover;
