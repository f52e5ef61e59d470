//! `kubectl liaison`: what people do with connections at a terminal. It acts with the caller's own rights.

mod complaint;
mod connect;
mod delete;
mod folder;
mod list;
mod lookup;
mod rename;
mod set_default;
mod show;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub use complaint::complaint;

/// Work with connections: see them, authenticate them, and ask whether they work.
#[derive(Parser)]
#[command(name = "kubectl-liaison", bin_name = "kubectl liaison", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Namespace of the connection; the context's where nothing is said
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true)]
    context: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Authenticate a connection in the browser
    Connect(connect::Arguments),
    /// Delete a connection, and tell first who uses it
    Delete(delete::Arguments),
    /// List connections
    List(list::Arguments),
    /// Change what people call a connection
    Rename(rename::Arguments),
    /// Make a connection the folder's default for its application
    SetDefault(set_default::Arguments),
    /// Show a connection: where it stands, its account, who uses it, and what it waits for
    Show(show::Arguments),
    /// Ask the provider whether a connection works, and wait for the answer
    Verify(verify::Arguments),
}

/// As what the API server notes who wrote a field.
const FIELD_MANAGER: &str = "kubectl-liaison";

/// Exit code where the command ran and the answer is no.
const NO: u8 = 2;

/// What the verbs share: the API server, the namespace and where to print.
struct Session<'a> {
    client: Client,
    namespace: String,
    output: &'a mut (dyn Write + Send),
}

/// Runs one command. `Ok` carries the exit code: 0 for yes, 2 for no.
pub async fn run(arguments: Arguments, output: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let options = KubeConfigOptions { context: arguments.context, ..KubeConfigOptions::default() };
    let (mut config, named_by_context) = match Kubeconfig::read() {
        Ok(kubeconfig) => {
            let named = names_namespace(&kubeconfig, options.context.as_ref());
            (Config::from_custom_kubeconfig(kubeconfig, &options).await?, named)
        }
        // In a Pod the ServiceAccount's own namespace is meant.
        Err(_) => (Config::infer().await?, true),
    };
    let agent = concat!("kubectl-liaison/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    let client = Client::try_from(config.clone())?;
    let namespace = if let Some(namespace) = arguments.namespace {
        namespace
    } else {
        let found = folder::namespace(&client, &config, named_by_context).await;
        if let Some(note) = found.note {
            writeln!(output, "{note}")?;
        }
        found.namespace
    };
    let mut session = Session { client, namespace, output };
    let yes = match arguments.command {
        Command::Connect(arguments) => Box::pin(connect::run(&mut session, &arguments)).await?,
        Command::Delete(arguments) => delete::run(&mut session, &arguments).await?,
        Command::Rename(arguments) => rename::run(&mut session, &arguments).await?,
        Command::SetDefault(arguments) => Box::pin(set_default::run(&mut session, &arguments)).await?,
        Command::List(arguments) => list::run(&mut session, &arguments).await?,
        Command::Show(arguments) => show::run(&mut session, &arguments).await?,
        Command::Verify(arguments) => verify::run(&mut session, &arguments).await?,
    };
    Ok(if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}

/// Whether the context in use names a namespace.
fn names_namespace(kubeconfig: &Kubeconfig, context: Option<&String>) -> bool {
    let name = context.or(kubeconfig.current_context.as_ref());
    let used = kubeconfig.contexts.iter().find(|known| Some(&known.name) == name);
    let named = used.and_then(|known| known.context.as_ref()).and_then(|context| context.namespace.as_ref());
    named.is_some_and(|namespace| !namespace.is_empty())
}
