//! Catena as a library.
