//! What Corefiles take from Go: durations, numbers, addresses, regular expressions, templates,
//! expressions and `resolv.conf`, each as a pure module that does no I/O.

pub mod address;
pub mod duration;
pub mod expr;
pub mod number;
pub mod os;
pub mod quote;
pub mod regexp;
pub mod resolvconf;
pub mod template;
pub mod upstream;
