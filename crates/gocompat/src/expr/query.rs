//! What expressions see of a query (CoreDNS: plugin/pkg/expression).

use catena_core::metrics::TypeText;
use catena_core::name::lower_text;
use catena_core::{Class, Query};

use super::{ExprError, Value, incidr};

/// The value of one of [`DEFAULT_FUNCTIONS`](super::DEFAULT_FUNCTIONS) for a query.
///
/// # Errors
/// A function of another name, or one that does not like its arguments.
pub fn query_value(query: &Query, function: &str, args: &[Value]) -> Result<Value, ExprError> {
    Ok(match function {
        "incidr" => return incidr(args),
        "metadata" => {
            let label = args.first().and_then(Value::as_text).unwrap_or_default();
            Value::Text(query.label(label).unwrap_or_default().into_owned())
        }
        "type" => Value::Text(TypeText(query.qtype()).to_string()),
        "name" => Value::Text(lower_text(query.lower())),
        "class" => Value::Text(class_text(query.qclass())),
        "proto" => Value::Text(query.protocol().as_str().to_owned()),
        "size" => Value::Int(query.request_len() as i64),
        "client_ip" => Value::Text(query.client().ip().to_canonical().to_string()),
        "port" => Value::Text(query.client().port().to_string()),
        "id" => Value::Int(query.id().into()),
        "opcode" => Value::Int(query.opcode().to_int().into()),
        "do" => Value::Bool(query.dnssec_ok()),
        "bufsize" => Value::Int(query.size_limit() as i64),
        "server_ip" => Value::Text(query.local().ip().to_canonical().to_string()),
        "server_port" => Value::Text(query.local().port().to_string()),
        _ => return Err(ExprError(format!("unknown function {function}"))),
    })
}

/// A class as miekg/dns writes it.
fn class_text(class: Class) -> String {
    let name = match class.to_int() {
        1 => "IN",
        2 => "CS",
        3 => "CH",
        4 => "HS",
        254 => "NONE",
        255 => "ANY",
        other => return format!("CLASS{other}"),
    };
    name.to_owned()
}
