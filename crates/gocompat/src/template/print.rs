//! A template's tree as text, as Go's `Tree.Root.String` writes it; CoreDNS uses it as a label.
//! Literals lose their spelling: raw strings get double quotes and numbers become decimal, where Go
//! keeps both.

use crate::number::format_float;
use crate::quote::quote;
use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode};

/// The list as Go prints it: actions without the blanks that the source had in them.
pub(super) fn list(list: &ListNode) -> String {
    list.nodes.iter().map(node).collect()
}

fn node(node: &Node) -> String {
    match node {
        Node::List(inner) => list(inner),
        Node::Text(text) => text.text.to_string(),
        Node::Action(action) => format!("{{{{{}}}}}", pipe(&action.pipe)),
        Node::If(inner) => branch("if", inner),
        Node::Range(inner) => branch("range", inner),
        Node::With(inner) => branch("with", inner),
        Node::Template(call) => {
            let data = call.pipe.as_ref().map(|data| format!(" {}", pipe(data)));
            let name = quote(&call.name);
            format!("{{{{template {name}{}}}}}", data.unwrap_or_default())
        }
        // Go keeps definitions out of the tree.
        Node::Define(_) => String::new(),
        Node::Break(_) => "{{break}}".to_owned(),
        Node::Continue(_) => "{{continue}}".to_owned(),
    }
}

fn branch(keyword: &str, branch: &BranchNode) -> String {
    let otherwise = branch.else_body.as_ref();
    let otherwise = otherwise.map(|body| format!("{{{{else}}}}{}", list(body)));
    format!(
        "{{{{{keyword} {}}}}}{}{}{{{{end}}}}",
        pipe(&branch.pipe),
        list(&branch.body),
        otherwise.unwrap_or_default()
    )
}

fn pipe(pipe: &PipeNode) -> String {
    let commands: Vec<String> = pipe.commands.iter().map(command).collect();
    let commands = commands.join(" | ");
    if pipe.decl.is_empty() {
        return commands;
    }
    let names: Vec<&str> = pipe.decl.iter().map(|name| name.as_str()).collect();
    let assign = if pipe.is_assign { "=" } else { ":=" };
    format!("{} {assign} {commands}", names.join(", "))
}

fn command(command: &CommandNode) -> String {
    let args: Vec<String> = command.args.iter().map(expr).collect();
    args.join(" ")
}

fn expr(value: &Expr) -> String {
    let dotted = |names: &[_]| names.iter().fold(String::new(), |text, name| format!("{text}.{name}"));
    match value {
        Expr::Dot(_) => ".".to_owned(),
        Expr::Field(_, fields) => dotted(fields),
        Expr::Variable(_, name, fields) => format!("{name}{}", dotted(fields)),
        Expr::Identifier(_, name) => name.to_string(),
        Expr::String(_, text) => quote(text),
        Expr::Number(_, Number::Int(value)) => value.to_string(),
        Expr::Number(_, Number::Uint(value)) => value.to_string(),
        Expr::Number(_, Number::Float(value)) => format_float(*value),
        Expr::Bool(_, value) => value.to_string(),
        Expr::Nil(_) => "nil".to_owned(),
        Expr::Pipe(_, inner) => format!("({})", pipe(inner)),
        Expr::Chain(_, inner, fields) => format!("{}{}", expr(inner), dotted(fields)),
    }
}
