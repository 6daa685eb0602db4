//! Zone files as a whole.
