//! The four things that a new plugin needs: manifest, code, README, a line in the list.

use std::path::Path;

use crate::Outcome;

/// Makes `plugins/NAME`; the line in the list goes to its end, to be moved to its place.
pub(crate) fn run(root: &Path, name: &str) -> Outcome {
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !fits {
        return Err(vec![format!("{name:?} is no name for a directive: lower-case letters, digits and _")]);
    }
    let folder = root.join("plugins").join(name);
    if folder.exists() {
        return Err(vec![format!("plugins/{name} is there already")]);
    }
    let write = |path: &str, text: String| {
        let path = folder.join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        made.map_err(|error| vec![format!("{}: {error}", path.display())])
    };
    write("src/lib.rs", code(name))?;
    write("Cargo.toml", manifest(name))?;
    write("README.md", readme(name))?;
    Ok(format!(
        "plugins/{name} is made. Now:\n  1. add `{name}` at its place to the list in crates/stock/src/lib.rs\n  2. add to crates/stock/Cargo.toml, as its neighbours are: `{name}` to `default`, a feature, a dependency\n  3. cargo test -p catena-plugin-{name}"
    ))
}

fn manifest(name: &str) -> String {
    format!(
        "[package]
name = \"catena-plugin-{name}\"
description = \"The {name} directive\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true

[lib]
doctest = false

[lints]
workspace = true

[dependencies]
catena-core.workspace = true

[dev-dependencies]
catena-testkit.workspace = true
"
    )
}

fn code(name: &str) -> String {
    let type_name: String = name.split('_').map(capital).collect();
    format!(
        "//! *{name}* passes every query on.

use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new(\"{name}\", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {{
    let mut words = cx.cursor();
    while words.next() {{
        words.no_more_args()?;
    }}
    cx.link({type_name});
    Ok(())
}}

struct {type_name};

#[async_trait]
impl Plugin for {type_name} {{
    async fn serve(&self, q: &mut Query, next: Next<'_>) -> Reply {{
        next.run(q).await
    }}
}}

#[cfg(test)]
mod tests {{
    use super::PLUGIN;
    use catena_testkit::{{check, check_config}};

    #[test]
    fn passes_queries_on() {{
        check([PLUGIN], \"{name}\", \"> example.org A\\n < SERVFAIL qr rd\");
    }}

    #[test]
    fn takes_no_arguments() {{
        let told =
            \"plugin/{name}: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'\";
        check_config([PLUGIN], \"{name} x\", told);
    }}
}}
"
    )
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn readme(name: &str) -> String {
    format!(
        "# {name}

## Name
*{name}* - passes every query on.

## Description
What it does and why one would want it.

## Syntax
```text
{name}
```

## Metrics
None.

## Ready
Always.

## Examples
```corefile
example.org {{
    {name}
}}
```

## Differences from CoreDNS
CoreDNS has no such plugin.

## See also
Nothing.
"
    )
}
