#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

struct Query;

impl TemplateData for Query {
    fn field(&self, name: &str) -> Datum {
        let texts = |pairs: &[(&str, &str)]| {
            let entries = pairs.iter().map(|(k, v)| ((*k).to_owned(), Datum::from(*v)));
            Datum::Map(entries.collect())
        };
        match name {
            "Name" => "ip-10-2.example.".into(),
            "Match" => Datum::List(vec!["ip-10-2.".into(), "10".into(), "2".into()]),
            "Group" => texts(&[("0", "ip-10-2."), ("a", "10"), ("b", "2")]),
            "Question" => Datum::Map([("Qtype".to_owned(), Datum::Uint(1))].into()),
            "Var" => Datum::Map([("num".to_owned(), Datum::Int(300))].into()),
            _ => "x".into(),
        }
    }

    fn meta(&self, label: &str) -> String {
        if label == "foo" { "bar".to_owned() } else { String::new() }
    }
}

fn run(source: &str) -> Result<String, TemplateError> {
    Template::new("answer", source)?.execute(&Query)
}

#[test]
fn templates_execute_as_in_go() {
    for (source, want) in [
        ("{{ .Name }} 60 IN A 10.{{ .Group.a }}.0.1", "ip-10-2.example. 60 IN A 10.10.0.1"),
        ("{{index .Match 1}}-{{ index .Group \"b\" }}", "10-2"),
        ("[{{ index .Group \"no\" }}]", "[]"),
        ("{{ .Group.no }}", "<no value>"),
        ("{{ .Question.Qtype }}", "1"),
        ("{{ .Meta \"foo\" }}|{{ .Meta \"none\" }}|", "bar||"),
        ("{{ $.Meta \"foo\" }}{{ \"foo\" | .Meta }}", "barbar"),
        ("{{ .Meta (printf \"%s%s\" \"f\" \"oo\") }}", "bar"),
        ("{{ if eq (.Meta \"foo\") \"bar\" }}yes{{ end }}", "yes"),
        ("{{ with .Group }}{{ .a }}{{ $.Zone }}{{ end }}", "10x"),
        ("{{ range .Match }}{{ . }},{{ end }}", "ip-10-2.,10,2,"),
        ("{{ parseInt \"ff\" 16 64 }}", "255"),
        ("{{ (parseInt .Group.a 10 8) | printf \"%03d\" }}", "010"),
        ("{{ .Var.num }}", "300"),
        ("{{ define \"t\" }}<{{ .Name }}{{ .Meta \"foo\" }}>{{ end }}{{ template \"t\" . }}", "<ip-10-2.example.bar>"),
    ] {
        assert_eq!(run(source).as_deref(), Ok(want), "{source}");
    }
}

#[test]
fn what_fails_in_go_fails() {
    for source in [
        "{{ .Nope }}",
        "{{ index .Match 3 }}",
        "{{ .Meta }}",
        "{{ parseInt \"-1\" 10 8 }}",
        "{{ parseInt \"256\" 10 8 }}",
        "{{ .Name.Foo }}",
        "{{ range 1000000 }}{{ end }}",
    ] {
        let template = Template::new("answer", source).unwrap();
        let error = template.execute(&Query).unwrap_err().to_string();
        assert!(error.starts_with("template: answer: executing"), "{source}: {error}");
    }
}

#[test]
fn broken_templates_do_not_compile() {
    for source in ["{{", "{{ .Name", "{{ nosuch }}", "{{ end }}", "{{ if }}{{ end }}"] {
        let error = Template::new("answer", source).unwrap_err().to_string();
        assert!(error.starts_with("template: answer:1: "), "{source}: {error}");
    }
}

#[test]
fn a_source_too_long_does_not_compile() {
    assert!(Template::new("answer", &"x".repeat(SOURCE_BYTES_MAX)).is_ok());
    assert!(Template::new("answer", &"x".repeat(SOURCE_BYTES_MAX + 1)).is_err());
}

#[test]
fn labels_that_are_written_out_are_known() {
    let template =
        Template::new("answer", "{{ .Meta \"a/b\" }}{{ .Meta (print .Name) }}{{ if .Meta `c/d` }}{{ end }}").unwrap();
    assert_eq!(template.labels().collect::<Vec<_>>(), ["a/b", "c/d"]);
}

#[test]
fn labels_that_are_computed_have_a_limit() {
    let source = |count| format!("{{{{ range {count} }}}}{{{{ $.Meta (printf \"%d\" .) }}}}{{{{ end }}}}");
    assert_eq!(run(&source(DYNAMIC_LABELS_MAX)), Ok(String::new()));
    assert!(run(&source(DYNAMIC_LABELS_MAX + 1)).is_err());
}

#[test]
fn the_tree_prints_as_in_go() {
    for (source, want) in [
        ("{{ .Name }} 60 IN A {{ .Group.a }}", "{{.Name}} 60 IN A {{.Group.a}}"),
        ("{{- $x := index .Match 1 -}} {{ $x | printf \"%q\" }}", "{{$x := index .Match 1}}{{$x | printf \"%q\"}}"),
        ("{{ if (eq .Type \"A\") }}a{{ else }}b{{ end }}", "{{if (eq .Type \"A\")}}a{{else}}b{{end}}"),
        ("{{ .Meta \"foo\" }}", "{{.Meta \"foo\"}}"),
    ] {
        assert_eq!(Template::new("answer", source).unwrap().canonical(), want);
    }
}
