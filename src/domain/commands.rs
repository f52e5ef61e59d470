//! The commands that people are told to run next.

/// Begins a consent.
pub fn connect(namespace: &str, name: &str) -> String {
    format!("kubectl liaison connect {name} -n {namespace}")
}

/// Shows a connection.
pub fn show(namespace: &str, name: &str) -> String {
    format!("kubectl liaison show {name} -n {namespace}")
}

/// Makes a connection the default.
pub fn set_default(namespace: &str, name: &str) -> String {
    format!("kubectl liaison set-default {name} -n {namespace}")
}
