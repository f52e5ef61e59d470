//! The operator, and the tools that come with it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use liaison::runtime::{self, generate, manifests};

/// Liaison makes connections to SaaS applications a Kubernetes resource.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator
    Run(Box<runtime::Settings>),
    /// Let go of everything in the cluster, so that nothing waits for an operator that is gone; objects stay
    Uninstall(runtime::uninstall::Settings),
    /// Print the CRDs, webhook configurations and policies, for a cluster without Helm
    Manifests(manifests::Settings),
    /// Write the files that are made from the types: CRDs, their copies in the chart, the API reference
    Generate {
        /// Write nothing; fail if a file is not current
        #[arg(long)]
        check: bool,
        /// The repository's root
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "liaison: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(settings) => {
            threads()?.block_on(runtime::run(*settings))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Uninstall(settings) => {
            threads()?.block_on(runtime::uninstall::run(&settings, &mut std::io::stdout()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Manifests(settings) => {
            write!(std::io::stdout(), "{}", manifests::all(&settings)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Generate { check, root } => {
            let paths = if check { generate::stale(&root)? } else { generate::write(&root)? };
            let verb = if check { "not current" } else { "written" };
            for path in &paths {
                writeln!(std::io::stdout(), "{verb}: {}", path.display())?;
            }
            Ok(if check && !paths.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

fn threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
