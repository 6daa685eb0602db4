#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

struct Query;

impl Env for Query {
    fn call(&self, function: &str, args: &[Value]) -> Result<Value, ExprError> {
        Ok(match function {
            "incidr" => return incidr(args),
            "type" => Value::Text("TXT".to_owned()),
            "name" => Value::Text("t1.example.".to_owned()),
            "client_ip" => Value::Text("127.0.0.2".to_owned()),
            "size" => Value::Int(29),
            "do" => Value::Bool(true),
            "metadata" | "group" => match args {
                [Value::Text(text)] => Value::Text(format!("<{text}>")),
                [Value::Int(index)] => Value::Text(index.to_string()),
                _ => Value::Nil,
            },
            _ => Value::Nil,
        })
    }

    fn variable(&self, name: &str) -> Option<Value> {
        (name == "num").then_some(Value::Int(300))
    }
}

fn compile(source: &str) -> Result<Program, ExprError> {
    let mut functions = DEFAULT_FUNCTIONS.to_vec();
    functions.push(GROUP);
    Program::compile(source, &functions, &["num"])
}

fn run(source: &str) -> Result<Value, ExprError> {
    compile(source)?.run(&Query)
}

#[test]
fn expressions_of_corefiles_run() {
    for source in [
        "incidr(client_ip(), '127.0.0.2/32')",
        "!incidr(client_ip(), '10.0.0.0/8')",
        "type() == 'TXT' && do()",
        r"name() matches '^t[0-9]+\\.'",
        "name() endsWith 'example.' and size() in 1..100",
        "type() in ['A', 'TXT']",
        "metadata('a/b') == '<a/b>'",
        "num >= 256",
        "int(group(1)) == 1 && group('x') == '<x>'",
        "let n = name(); len(n) == 11",
        "any(['a', 'b'], # == 'b')",
        "do() ? true : false",
        "true",
        "metadata(\"\u{2}\u{3}\") == \"<\u{2}\u{3}>\"",
    ] {
        assert_eq!(run(source), Ok(Value::Bool(true)), "{source}");
    }
}

#[test]
fn labels_that_are_written_out_are_known() {
    let program =
        compile("metadata('a/b') == \"metadata('c/d')\" && metadata( `e/f` ) != metadata('a' + '/g')").unwrap();
    assert_eq!(program.labels(), ["a/b", "e/f"]);
}

#[test]
fn a_call_behind_an_or_is_not_piped_into() {
    assert_eq!(run("type() == 'A' || type() == 'MX' or type() == type()"), Ok(Value::Bool(true)));
}

#[test]
fn results_keep_their_kind() {
    assert_eq!(run("size() + 1").unwrap().as_int(), Some(30));
    assert_eq!(run("'a' + name()").unwrap().as_text(), Some("at1.example."));
    assert_eq!(run("1.5"), Ok(Value::Float(1.5)));
    assert_eq!(run("nil"), Ok(Value::Nil));
    assert_eq!(run("size()").unwrap().as_bool(), None);
}

#[test]
fn unknown_names_do_not_compile() {
    let error = |source| compile(source).unwrap_err().to_string();
    assert_eq!(error("nosuch()"), "unknown name nosuch (1:1)\n | nosuch()\n | ^");
    assert_eq!(error("do() && x == 1"), "unknown name x (1:9)\n | do() && x == 1\n | ........^");
    assert!(error("type").starts_with("function type is not called"));
}

#[test]
fn wrong_argument_counts_do_not_compile() {
    let error = |source| compile(source).unwrap_err().to_string();
    assert!(error("incidr('a')").starts_with("not enough arguments to call incidr (1:1)"));
    assert!(error("type(1)").starts_with("too many arguments to call type (1:1)"));
}

#[test]
fn operators_between_values_of_the_wrong_types_do_not_compile() {
    let told = |source: &str| compile(source).unwrap_err().to_string();
    assert_eq!(
        told("port() == 53"),
        "invalid operation: == (mismatched types string and int) (1:8)\n | port() == 53\n | .......^"
    );
    for (source, operator, left, right) in [
        ("client_ip() in '10.0.0.0/8'", "in", "string", "string"),
        ("do() && (name() contains 1)", "contains", "string", "int"),
        ("do() && 1", "&&", "bool", "int"),
        ("do() or 'x'", "or", "bool", "string"),
        ("id() > 'a'", ">", "int", "string"),
        ("do() < true", "<", "bool", "bool"),
        ("size() + name()", "+", "int", "string"),
        ("incidr(client_ip(), '10.0.0.0/8') == 'true'", "==", "bool", "string"),
        ("type() != 1 || do()", "!=", "string", "int"),
    ] {
        let text = told(source);
        let expected = format!("invalid operation: {operator} (mismatched types {left} and {right}) (1:");
        assert!(text.starts_with(&expected), "{source}: {text}");
    }
}

#[test]
fn arguments_of_the_wrong_type_do_not_compile() {
    let text = compile("incidr(client_ip(), 2)").unwrap_err().to_string();
    assert!(text.starts_with("cannot use int as argument (type string) to call incidr  (1:21)"), "{text}");
    assert!(compile("metadata(true) == ''").is_err());
}

#[test]
fn a_broken_pattern_does_not_compile() {
    let text = compile("name() matches '['").unwrap_err().to_string();
    assert!(text.starts_with("error parsing regexp: missing closing ]: `[` (1:8)"), "{text}");
    assert!(compile(r"name() matches '^a\\.b'").is_ok());
}

#[test]
fn types_that_cannot_be_seen_are_not_judged() {
    for source in [
        "size() + 1 == 2",
        "2 == 1 + size()",
        "len(name()) == 3",
        "name()[0:3] == 'www'",
        "split(name(), '.')[0] == 'www'",
        "type() in ['A', 'MX']",
        "'a' in {'a': 1}",
        "name() == (do() ? 'a' : 'b')",
        "size() / 1.5 > 2",
        "not do() == true",
        "!(type() == 'A') && -1 < id()",
        "name() + 'x' == 'y'",
        "incidr(client_ip(), '10.0.0.0/' + string(8))",
    ] {
        assert!(compile(source).is_ok(), "{source}: {:?}", compile(source));
    }
}

#[test]
fn broken_expressions_do_not_compile() {
    for source in ["", "1 +", "(", "'a", "a b", "1 == ", "size() in 1..num"] {
        assert!(compile(source).is_err(), "{source}");
    }
}

#[test]
fn a_broken_expression_is_shown_with_its_place() {
    for (source, expected) in [
        (
            "invalid expression",
            "unexpected token Identifier(\"expression\") (1:9)\n | invalid expression\n | ........^",
        ),
        ("name() = 1", "unexpected token Operator(\"=\") (1:8)\n | name() = 1\n | .......^"),
        ("name() ==", "unexpected token EOF (1:9)\n | name() ==\n | ........^"),
        ("", "unexpected token EOF"),
        ("true }", "unexpected token Bracket(\"}\") (1:6)\n | true }\n | .....^"),
    ] {
        let functions = [DEFAULT_FUNCTIONS[3]];
        let told = Program::compile(source, &functions, &["invalid", "expression"]).unwrap_err().to_string();
        assert_eq!(told, expected, "{source}");
    }
}

#[test]
fn errors_at_run_time_are_those_of_the_function() {
    let error = |source| run(source).unwrap_err().to_string();
    assert_eq!(error("incidr('x', '1.2.3.0/24')"), "first argument is not an IP address");
    assert_eq!(error("incidr('1.2.3.4', 'x')"), "invalid CIDR address: x");
    assert!(run("int('x') == 1").is_err());
}

#[test]
fn names_of_functions_and_keywords_are_not_free() {
    for (name, free) in [
        ("num", true),
        ("_a1", true),
        ("last", false),
        ("name", false),
        ("in", false),
        ("1a", false),
        ("a-b", false),
        ("", false),
    ] {
        assert_eq!(is_free_name(name, &DEFAULT_FUNCTIONS), free, "{name}");
    }
}

#[test]
fn length_and_nesting_have_limits() {
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(compile(&nested(NESTING_MAX)).is_ok());
    assert!(compile(&nested(NESTING_MAX + 1)).is_err());
    assert!(compile(&" ".repeat(SOURCE_BYTES_MAX + 1)).is_err());
    let padded = format!("{}1", " ".repeat(SOURCE_BYTES_MAX - 1));
    assert!(compile(&padded).is_ok());
}

proptest! {
    #[test]
    fn no_expression_panics(
        source in "((name\\(\\)|size\\(\\)|num|'a'|1|\\+|-|==|\\(|\\)|\\[|\\]|,|in|not|let|#|\\?|:|\\.\\.|&&)[ ]?){0,12}|\\PC{0,16}",
    ) {
        let _ = run(&source);
    }
}
