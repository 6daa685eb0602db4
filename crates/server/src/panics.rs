//! Panics of plugins: caught, told, and answered with SERVFAIL; the process goes on.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is done when the thread panics right now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// What the hook before does.
    Off,
    /// Nothing: the panic will be logged.
    Quiet,
    /// The stack is kept: it will be logged too.
    Stack,
}

thread_local! {
    static GUARD: Cell<Guard> = const { Cell::new(Guard::Off) };
    static STACK: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics of plugins silent on standard error, for they are logged, and lets `errors { stacktrace }` have their stack.
///
/// Panics anywhere else do what they did before. For the `main` of a program, once; a server works without it.
pub fn install_panic_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match GUARD.get() {
        Guard::Off => before(info),
        Guard::Quiet => {}
        Guard::Stack => STACK.set(Some(Backtrace::force_capture().to_string())),
    }));
}

/// How panics are treated on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PanicPolicy {
    /// They end the process.
    pub(crate) abort: bool,
    /// Their stack is logged.
    pub(crate) stacktrace: bool,
}

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Caught {
    /// What it said.
    pub(crate) message: String,
    /// Where it happened, if that was wanted and the hook is installed.
    pub(crate) stack: Option<String>,
}

/// Runs code of plugins; a panic comes back as a value, or ends the process if the policy says so.
pub(crate) fn guarded<T>(policy: PanicPolicy, run: impl FnOnce() -> T) -> Result<T, Caught> {
    let guard = match policy {
        PanicPolicy { abort: true, .. } => Guard::Off,
        PanicPolicy { stacktrace: true, .. } => Guard::Stack,
        PanicPolicy { .. } => Guard::Quiet,
    };
    let outer = GUARD.replace(guard);
    // The future that panicked is dropped and never polled again, and a plugin's shared state is made of locks and atomics.
    let done = catch_unwind(AssertUnwindSafe(run));
    GUARD.set(outer);
    done.map_err(|payload| {
        if policy.abort {
            std::process::abort();
        }
        Caught { message: text_of(&*payload), stack: STACK.take() }
    })
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a value that is no text".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const CONTAINED: PanicPolicy = PanicPolicy { abort: false, stacktrace: false };

    #[test]
    fn a_panic_comes_back_with_what_it_said() {
        let caught = guarded(CONTAINED, || panic!("number {}", 7)).expect_err("a panic");
        assert_eq!(caught.message, "number 7");
    }

    #[test]
    fn a_panic_with_an_odd_value_comes_back_too() {
        let caught = guarded(CONTAINED, || std::panic::panic_any(7_u8)).expect_err("a panic");
        assert_eq!(caught.message, "a value that is no text");
    }

    #[test]
    fn without_a_panic_the_value_comes_back() {
        assert_eq!(guarded(CONTAINED, || 7).unwrap(), 7);
    }
}
