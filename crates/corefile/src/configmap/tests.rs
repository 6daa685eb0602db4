#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use super::*;
use crate::parse::NoFiles;
use crate::source::FileId;

const LITERAL: &str = "apiVersion: v1
# ä comment
kind: ConfigMap
metadata:
  name: coredns
  namespace: kube-system
data:
  other: x
  Corefile: |  # the one
    .:53 {
        errors

        cahce 30
    }
";

fn parsed(yaml: &str) -> Parsed {
    let no_env = |_: &str| None;
    let options = ParseOptions {
        name: "cm.yaml",
        path: Path::new("/cm.yaml"),
        directives: &["cache", "errors", "log"],
        env: &no_env,
        files: &NoFiles,
    };
    parse_any(yaml, &options)
}

/// The source text under every word of the first block's directives.
fn under_words(parsed: &Parsed) -> Vec<String> {
    let text = parsed.sources.text(FileId(0));
    let tokens = parsed.corefile.blocks[0].directives.iter().flat_map(|directive| &directive.tokens);
    tokens.map(|token| text[token.span.start as usize..token.span.end as usize].to_owned()).collect()
}

fn one_lines(parsed: &Parsed) -> Vec<String> {
    parsed.diagnostics.iter().map(Diagnostic::one_line).collect()
}

#[test]
fn the_corefile_is_found_with_the_names_of_its_configmap() {
    let extract = configmap_corefile(LITERAL).unwrap().unwrap();
    assert_eq!(extract.text, ".:53 {\n    errors\n\n    cahce 30\n}\n");
    assert_eq!((extract.namespace.as_deref(), extract.name.as_deref()), (Some("kube-system"), Some("coredns")));
    assert_eq!(extract.manifest_offset(0) as usize, LITERAL.find(".:53").unwrap());
}

#[test]
fn a_fault_points_into_the_manifest() {
    let parsed = parsed(LITERAL);
    assert_eq!(one_lines(&parsed), ["cm.yaml:13 - Error during parsing: Unknown directive 'cahce'"]);
    let shown = parsed.diagnostics[0].render(&parsed.sources);
    assert!(shown.contains("--> cm.yaml:13:9") && shown.contains("^^^^^"), "{shown}");
    assert_eq!(parsed.corefile.blocks[0].directives[0].tokens[0].line, 2);
    assert_eq!(parsed.corefile.blocks[0].directives[0].tokens[0].shown_line, 11);
}

#[test]
fn the_hash_is_that_of_the_corefile_alone() {
    let yaml = "kind: ConfigMap\ndata:\n  Corefile: |\n    . {\n      log\n    }\n";
    assert_eq!(parsed(yaml).corefile.sha512_hex(), parsed(". {\n  log\n}\n").corefile.sha512_hex());
}

#[test]
fn every_scalar_style_maps_its_words() {
    for value in [
        "|\n   . {\n     log a b\n     cache\n   }\n",
        "|+\n\n\n   . {\n     log a b\n     cache\n   }\n\n",
        "|1-\n    . {\n     log a b\n     cache\n   }",
        "|\r\n   . {\r\n     log a b\r\n     cache\r\n   }\r\n",
        "!!str |-\n   . {\n     log a b\n     cache\n   }\n",
        "\n   |\n   . {\n     log a b\n     cache\n   }\n",
        ">\n   . {\n\n   log a\n   b\n\n   cache\n\n   }\n",
        ">-\n   . {\n     log a b\n     cache\n   }\n",
        "\". {\\n  log a b\\n  cache\\n}\\n\"\n",
        "\". {\\n  log\n   a \\\n   b\\n \\\n   \\ cache\\n}\\n\"\n",
        "'. {\n\n   log a\n   b\n\n   cache\n\n   }\n\n   '\n",
    ] {
        let yaml = format!("kind: ConfigMap\ndata:\n  Corefile: {value}");
        let parsed = parsed(&yaml);
        assert_eq!(one_lines(&parsed), Vec::<String>::new(), "{yaml}");
        assert_eq!(under_words(&parsed), ["log", "a", "b", "cache"], "{yaml}");
    }
}

#[test]
fn offsets_stay_inside_a_manifest_without_a_last_line_end() {
    let yaml = LITERAL.trim_end();
    let extract = configmap_corefile(yaml).unwrap().unwrap();
    let end = u32::try_from(extract.text.len()).unwrap();
    assert_eq!(extract.manifest_offset(end) as usize, yaml.len());
}

#[test]
fn lists_streams_and_json_are_searched() {
    let map = "{\"kind\": \"ConfigMap\", \"data\": {\"Corefile\": \". {\\n log\\n}\\n\"}}";
    for yaml in [
        map.to_owned(),
        format!("{{\"kind\": \"List\", \"items\": [{{\"kind\": \"Pod\"}}, {map}]}}"),
        "kind: Service\n---\nkind: ConfigMap\ndata: {a: b}\n---\nkind: ConfigMap\ndata:\n  Corefile: |\n    . {\n    log\n    }\n"
            .to_owned(),
        "kind: ConfigMapList\nitems:\n- data:\n    Corefile: |\n      . {\n      log\n      }\n".to_owned(),
    ] {
        let parsed = parsed(&yaml);
        assert_eq!(one_lines(&parsed), Vec::<String>::new(), "{yaml}");
        assert_eq!(under_words(&parsed), ["log"], "{yaml}");
    }
}

#[test]
fn a_corefile_is_no_manifest_even_if_it_speaks_of_one() {
    assert!(configmap_corefile(". {\n log\n}\n").unwrap().is_none());
    assert!(configmap_corefile("# kind: see ConfigMap\n. {\n log\n}\n").unwrap().is_none());
    assert!(configmap_corefile("kind: Pod\n# ConfigMap\n").unwrap().is_none());
    assert!(configmap_corefile("").unwrap().is_none());
}

#[test]
fn a_manifest_of_another_kind_is_told_so() {
    let told = one_lines(&parsed("apiVersion: v1\nkind: Secret\ndata:\n  Corefile: x\n"));
    assert_eq!(told, ["a manifest, but not of a ConfigMap"]);
}

#[test]
fn a_configmap_without_the_key_and_a_malformed_one_are_errors() {
    let yaml = "kind: ConfigMap\ndata:\n  other: |\n    . {\n    log\n    }\n";
    let missing = parsed(yaml);
    assert_eq!(one_lines(&missing), ["the ConfigMap has no text under data.Corefile"]);
    let shown = missing.diagnostics[0].render(&missing.sources);
    assert!(shown.contains(":2:1") && shown.contains("data:"), "{shown}");
    assert_eq!(configmap_key(yaml, "other").unwrap().unwrap().text, ". {\nlog\n}\n");
    let broken = parsed("kind: ConfigMap\ndata: [\n  x: }\n");
    let line = &one_lines(&broken)[0];
    assert!(line.starts_with("cm.yaml:4 - ") && line.contains("not well-formed YAML"), "{line}");
    assert!(broken.diagnostics[0].render(&broken.sources).contains("cm.yaml:4"));
}

#[test]
fn the_nesting_of_a_manifest_has_an_edge() {
    let yaml = |depth: usize| format!("kind: ConfigMap\ndata:\n  x: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    // The document and its data are two levels.
    let at = configmap_corefile(&yaml(YAML_DEPTH_MAX - 2)).unwrap_err();
    assert!(at.message.contains("no text"), "{}", at.message);
    let over = configmap_corefile(&yaml(YAML_DEPTH_MAX - 1)).unwrap_err();
    assert!(over.message.contains("deeper than"), "{}", over.message);
}
