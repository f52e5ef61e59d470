//! Addresses in disguise, which the organisation's client must not go to.

use super::*;

/// Where the organisation's client must not go, however it is written.
pub(super) fn disguises(department: &Department) -> Vec<(&'static str, String)> {
    let hostile = &department.hostile;
    let port = hostile.rsplit(':').next().unwrap_or_default();
    vec![
        ("another host", format!("http://{hostile}/token")),
        ("another port of the allowed host", format!("http://localhost:{port}/token")),
        ("the allowed host as a user's name", format!("http://localhost@{hostile}/token")),
        ("the allowed host as a user's name and password", format!("http://localhost:80@{hostile}/token")),
        ("the allowed host in capitals, elsewhere", format!("http://LOCALHOST.evil.example:{port}/token")),
        ("the allowed host with a dot", format!("http://localhost.:{port}/token")),
        ("the allowed host as a prefix", format!("http://localhost.evil.example:{port}/token")),
        ("the allowed host as a suffix", format!("http://evil-localhost:{port}/token")),
        ("a host below the allowed one", format!("http://evil.localhost:{port}/token")),
        ("a number for a host", format!("http://2130706433:{port}/token")),
        ("an address within an address", format!("http://[::ffff:127.0.0.1]:{port}/token")),
        ("a backslash", format!("http://{hostile}\\@localhost/token")),
        ("a fragment", format!("http://{hostile}#@localhost/token")),
    ]
}

/// Mallory turns the organisation's Connector, and Eve makes a Connection on it.
pub(super) async fn disguised(
    stage: &Stage,
    department: &Department,
    number: usize,
    url: &str,
) -> Result<()> {
    let name = stage.connector("org");
    let honest = client_credentials_connector(&|path| stage.honest.endpoint(path));
    let turned = with(&honest, TOKEN_URL, url.into());
    let turning = Deed::replace(&department.mallory, &connector(&name, &turned)).perform().await;
    if turning.is_err() {
        return is_refused(turning, "tokenURL");
    }
    let fresh = format!("fresh-{number}");
    let object = department.connection(&fresh, &Department::lent(stage, "org"));
    let made = Deed::create(&department.eve, &object).perform().await;
    let reasons = ["HostNotAllowed", "ConnectorInvalid", "ReauthenticationRequired", "EgressDenied"];
    let stopped = async |name: &str| {
        eventually(&format!("{name} is stopped"), HEALS, async || {
            let status = department.ground.connections().get(name).await?.status.unwrap_or_default();
            let ready = conditions::find(&status.conditions, ConditionType::Ready).cloned();
            let stops = |reason: &str| reasons.contains(&reason);
            Ok(ready.filter(|ready| ready.status == "False" && stops(&ready.reason)))
        })
        .await
    };
    let outcome = match made {
        Ok(_) => stopped(&fresh).await.map(drop),
        refused => is_refused(refused, "may not go to"),
    };
    let there = stopped("lent").await.context("the one that was there");
    Deed::replace(&department.mallory, &connector(&name, &honest)).perform().await?;
    let _ = department.ground.connections().delete(&fresh, &DeleteParams::default()).await;
    outcome?;
    there?;
    department.ground.until_ready("lent").await?;
    Ok(())
}
