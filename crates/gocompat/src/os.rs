//! Errors of the operating system in Go's words.

use std::io;

/// An error of the system as Go prints it: `no such file or directory` for `No such file or directory (os error 2)`.
#[must_use]
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let bare = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = bare.chars();
    match letters.next() {
        Some(first) if error.raw_os_error().is_some() => first.to_lowercase().chain(letters).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_lose_their_number_and_their_capital() {
        assert_eq!(error_text(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(error_text(&io::Error::other("Custom")), "Custom");
    }
}
