//! `kubectl liaison`, as kubectl finds it on the path.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use liaison::plugin::{self, Arguments};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match plugin::run(arguments, &mut std::io::stdout()).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kubectl liaison: {}", plugin::complaint(&error));
            ExitCode::FAILURE
        }
    }
}
