//! A person's consent: where it leads, and what is decided about it.

pub mod addresses;
