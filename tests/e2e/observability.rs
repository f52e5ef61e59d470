//! What whoever runs Liaison sees of it.

use anyhow::Result;
use serde_json::json;

use crate::fixtures::{Ground, client_credentials_connector};
use crate::support::strict_provider::Answer;
use crate::support::waiting::eventually;
use crate::world::World;

#[tokio::test]
async fn probes_answer_and_metrics_tell_of_states_expiry_refreshes_calls_passes_and_the_queue() -> Result<()>
{
    let world = World::shared();
    let ground = Ground::new(world.control_plane.client().await?, "observed").await?;
    let provider = world.provider()?;
    provider.script(|request| match request.path.as_str() {
        "/token" => Some(Answer::json(200, &json!({ "access_token": "x", "expires_in": 3600 }))),
        _ => Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))),
    });
    ground.connector("observed", client_credentials_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    let spec =
        json!({ "connectorRef": { "name": "observed" }, "oauthApp": { "secretRef": { "name": "app" } } });
    ground.connection("c", spec).await?;
    ground.until_ready("c").await?;

    for probe in ["livez", "readyz"] {
        let answer = reqwest::get(format!("{}/{probe}", world.internal_url)).await?;
        assert_eq!(answer.status(), 200, "{probe}");
    }
    let host = provider.authority();
    let wanted = [
        "liaison_connections{state=\"Connected\",ready=\"True\"}".to_owned(),
        "liaison_connection_token_expiry_timestamp_seconds{namespace=\"observed\",name=\"c\"}".to_owned(),
        "liaison_token_request_duration_seconds_count{result=\"Succeeded\"}".to_owned(),
        format!(
            "liaison_provider_request_duration_seconds_count{{purpose=\"token\",host=\"{host}\",class=\"Success\"}} 1"
        ),
        "liaison_reconcile_duration_seconds_count{kind=\"Connection\"}".to_owned(),
        "liaison_reconcile_queue_depth".to_owned(),
    ];
    eventually("all metrics are there", crate::fixtures::HEALS, async || {
        let text = reqwest::get(format!("{}/metrics", world.internal_url)).await?.text().await?;
        let missing: Vec<_> = wanted.iter().filter(|wanted| !text.contains(wanted.as_str())).collect();
        anyhow::ensure!(missing.is_empty(), "missing {missing:?} in:\n{text}");
        assert!(text.ends_with("# EOF\n"));
        Ok(Some(()))
    })
    .await?;
    assert!(world.operator_log()?.contains("leading"));
    Ok(())
}
