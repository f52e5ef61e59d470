//! A code that the person enters by hand, where the browser is not on the machine of the command.

use std::io::Write;

use kube::Api;
use tokio::sync::mpsc;

use crate::api::ConsentRequest;
use crate::api::consent_request::Phase;

use super::loopback::is_receipt;
use super::request;

const PROMPT: &str = "Enter the code that its last page shows:";

/// Takes codes from the standard input while this lasts. What is no code, or comes too early, is asked for again; where
/// there is nothing more to read, nobody can enter one.
pub(super) async fn entered_while<T>(
    requests: &Api<ConsentRequest>,
    name: &str,
    output: &mut (dyn Write + Send),
    lasting: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::pin!(lasting);
    let mut lines = lines();
    let mut say = |text: &str| writeln!(output, "{text}").map_err(|error| error.to_string());
    say(PROMPT)?;
    loop {
        let line = tokio::select! {
            ended = &mut lasting => return ended,
            line = lines.recv() => line,
        };
        let Some(line) = line else { return Err("there was no code to read".to_owned()) };
        let code: String = line.split_whitespace().collect();
        if !is_receipt(&code) {
            say("That is not the code: it has 43 letters, digits, - and _. Enter it once more:")?;
            continue;
        }
        match request::hand_in(requests, name, &code).await {
            Ok(()) => return lasting.await,
            // A code that comes before its browser is another one's.
            Err(error) if !request::is_in(requests, name, Phase::Returned).await => {
                tracing::debug!(%error, "the code could not be handed in");
                say("No browser has come back from the application yet. Go on there, then enter the code:")?;
            }
            Err(error) => return Err(format!("the code could not be handed in: {error}")),
        }
    }
}

/// Lines of the standard input. A thread reads them that nobody waits for: the command may end before the next line.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
