//! *root* names the directory that relative paths of the server block are below.

use std::io;
use std::path::{Path, PathBuf};

use catena_core::Files;
use catena_core::prelude::*;

/// The entry for the plugin list.
pub const PLUGIN: PluginDef = PluginDef::new("root", setup);

fn setup(cx: &mut Setup<'_>) -> Result<(), Diagnostic> {
    let mut words = cx.cursor();
    // CoreDNS: plugin/root takes every second word of all uses, so the last one wins and a surplus word lacks its partner.
    while words.next() {
        if !words.next_arg() {
            return Err(words.arg_err());
        }
        cx.block_settings().root = PathBuf::from(words.val());
    }
    let path = cx.block_settings().root.clone();
    match stat(cx.files(), &path) {
        Ok(()) => {}
        // The directory may be made later.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let warning = Diagnostic::warning(format!("Root path does not exist: {}", path.display()));
            let warning = match words.span() {
                Some(span) => warning.with_span(span),
                None => warning,
            };
            cx.warn(warning.with_prefix("root"));
        }
        Err(error) => {
            let path = path.display();
            return Err(words.err(format!("unable to access root path '{path}': stat {path}: {error}")));
        }
    }
    Ok(())
}

/// Whether there is something at the path.
fn stat(files: &dyn Files, path: &Path) -> io::Result<()> {
    if files.is_dir(path) {
        return Ok(());
    }
    match files.read(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::PLUGIN;
    use catena_testkit::{Recipe, check_config};
    use std::path::Path;

    #[test]
    fn the_last_path_is_the_directory_of_the_block() {
        let kit = Recipe::new([PLUGIN], ". {\n root /a\n root /b\n}").file("/b", "").build().ok().unwrap();
        assert_eq!(kit.instance().blocks()[0].settings.root, Path::new("/b"));
        assert!(kit.warnings.is_empty());
    }

    #[test]
    fn a_path_that_is_not_there_is_a_warning() {
        let kit = Recipe::new([PLUGIN], ". {\n root /missing\n}").build().ok().unwrap();
        assert_eq!(kit.warnings, ["plugin/root: Root path does not exist: /missing"]);
    }

    #[test]
    fn a_path_is_needed_and_one_is_enough() {
        let wrong =
            "plugin/root: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after ";
        check_config([PLUGIN], "root", &format!("{wrong}'root'"));
        check_config([PLUGIN], "root a b", &format!("{wrong}'b'"));
    }
}
