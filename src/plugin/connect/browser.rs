//! Opens the person's browser.

use std::process::{Command, Stdio};

/// Opens an address in the browser: the one that the environment variable BROWSER names, else the system's. Where
/// that does not work, the person has the link on the terminal.
pub(super) fn open(link: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "BROWSER is other programs' convention, not a setting of ours"
    )]
    let wanted = std::env::var("BROWSER").ok().filter(|program| !program.is_empty());
    let mut candidates = match wanted {
        Some(program) => {
            let mut command = Command::new(program);
            command.arg(link);
            vec![command]
        }
        None => open::commands(link),
    };
    for command in &mut candidates {
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if let Ok(mut child) = started {
            // Nobody else waits for it; a browser may live as long as it likes.
            std::thread::spawn(move || child.wait());
            return;
        }
    }
}
