//! The listener's answers, without an API server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse};
use liaison::ports::{AdmissionDesk, Admitted, HandOut, ReviewFault, Reviewed, Telemetry};
use liaison::web::admission::router;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Does what the name of the object says.
struct Scripted;

#[async_trait]
impl AdmissionDesk for Scripted {
    async fn review(
        &self,
        subject: Reviewed,
        request: &AdmissionRequest<DynamicObject>,
    ) -> Result<AdmissionResponse, ReviewFault> {
        let mut response = AdmissionResponse::from(request);
        match request.name.as_str() {
            "refused" => return Ok(response.deny(format!("no {subject:?}"))),
            "warned" => response.warnings = Some(vec!["mind".to_owned()]),
            "failing" => return Err(ReviewFault("cannot say".to_owned())),
            "hanging" => std::future::pending::<()>().await,
            _ => {}
        }
        Ok(response)
    }
}

/// Outcomes in the order in which they were told.
#[derive(Default)]
struct Told(Mutex<Vec<(Reviewed, &'static str, Admitted)>>);

impl Telemetry for Told {
    fn reconciled(&self, _: &'static str, _: Duration, _: bool) {}
    fn running(&self, _: &'static str, _: i64) {}
    fn token_requested(&self, _: &str, _: Duration) {}
    fn admitted(&self, subject: Reviewed, operation: &'static str, outcome: Admitted, _: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((subject, operation, outcome));
    }
    fn handed_out(&self, _: HandOut, _: Duration) {}
}

fn review(name: &str) -> Value {
    let kind = json!({ "group": "liaison.dev", "version": "v1alpha1", "kind": "Folder" });
    let resource = json!({ "group": "liaison.dev", "version": "v1alpha1", "resource": "folders" });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1-2-3", "kind": kind, "resource": resource, "name": name, "operation": "DELETE",
            "userInfo": { "username": "ada" }, "dryRun": false,
        },
    })
}

#[tokio::test]
async fn an_answer_is_allowed_warned_or_refused_and_none_at_all_is_left_to_the_api_server() -> Result<()> {
    let told = Arc::new(Told::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/admission/folders", listener.local_addr()?);
    let routes = router(Arc::new(Scripted), Arc::clone(&told) as Arc<dyn Telemetry>);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    crate::support::install_cryptography();
    let client = reqwest::Client::new();
    let ask = async |name: &str| -> Result<(u16, String)> {
        let answer = client.post(&url).body(review(name).to_string()).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    };
    for (name, allowed, message, warnings) in [
        ("plain", true, Value::Null, Value::Null),
        ("warned", true, Value::Null, json!(["mind"])),
        ("refused", false, json!("no Folders"), Value::Null),
    ] {
        let (status, body) = ask(name).await?;
        let body: Value = serde_json::from_str(&body)?;
        let response = &body["response"];
        assert_eq!(
            (status, &response["uid"], &response["allowed"]),
            (200, &json!("1-2-3"), &json!(allowed)),
            "{body}"
        );
        assert_eq!((&response["status"]["message"], &response["warnings"]), (&message, &warnings), "{body}");
        assert_eq!(body["kind"], "AdmissionReview");
    }
    assert_eq!(ask("failing").await?, (500, "cannot say".to_owned()));
    assert_eq!(ask("hanging").await?, (500, "there was no answer in time".to_owned()));
    let told: Vec<_> = told.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let outcomes =
        [Admitted::Allowed, Admitted::Warned, Admitted::Refused, Admitted::Failed, Admitted::Failed];
    assert_eq!(told, outcomes.map(|outcome| (Reviewed::Folders, "DELETE", outcome)));
    Ok(())
}
