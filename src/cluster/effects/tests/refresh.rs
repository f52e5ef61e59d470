//! Refreshes of a token that came of a person's consent.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::api::ConnectionPolicy;
use crate::api::connection::FailureClass;
use crate::api::names::token_secret;
use crate::cluster::effects::consent_record::store_consent;
use crate::cluster::effects::{client, request_token, revoke};
use crate::domain::connection::{Effect, Outcome, PERSON, decide, valid};
use crate::domain::policy::{Ancestry, EffectivePolicy};
use crate::domain::reason::Reason;

impl Stage {
    /// One pass in which the refresh is due.
    async fn refresh(&mut self) -> Outcome {
        let seen = token_store::read(&self.context, &self.observed.connection).await.unwrap();
        self.observed.token = seen.state.clone();
        let Some(Effect::RequestToken(plan)) = decide(&self.observed, at(NOW)).effect else {
            panic!("not due")
        };
        request_token(&self.context, &self.observed, &seen, &plan).await.unwrap()
    }

    async fn consented(self) -> Self {
        store_consent(&self.context, &self.observed.connection, &self.record(), "consent-1").await.unwrap();
        self
    }
}

fn invalid_grant() -> Value {
    json!({ "error": "invalid_grant" })
}

#[tokio::test]
async fn an_answer_without_refresh_token_keeps_the_one_that_is_there_and_all_that_is_known_of_the_consent() {
    let mut stage = Stage::new().await.consented().await;
    stage.provider.answers(200, json!({ "access_token": "access-2", "expires_in": 600 }));
    let Outcome::TokenStored(facts) = stage.refresh().await else { panic!("no token") };
    assert_eq!(stage.provider.sent(), ["grant_type=refresh_token&refresh_token=refresh-1"]);
    assert_eq!((facts.sequence, facts.consent_id.as_str()), (2, "consent-1"));
    assert_eq!((facts.issued_at, facts.expires_at), (at(NOW), Some(at(NOW + 600))));
    assert_eq!(facts.refresh_token_expires_at, Some(at(90_000)));
    assert_eq!(facts.granted_scopes, ["read", "write"]);

    let (record, before) = (stage.stored().await, stage.record());
    assert_eq!(token_of(&record), ("access-2", Some("refresh-1")));
    assert_eq!(
        (record.authenticated_by, record.account, record.answers),
        (before.authenticated_by, before.account, before.answers)
    );
    assert_eq!((record.client_id, record.targets), (before.client_id, before.targets));
}

#[tokio::test]
async fn s44_a_refresh_that_was_decided_on_is_not_sent_with_an_app_that_is_not_lent_any_more() {
    let mut stage = Stage::new().await.consented().await;
    let seen = token_store::read(&stage.context, &stage.observed.connection).await.unwrap();
    stage.observed.token = seen.state.clone();
    let Some(Effect::RequestToken(plan)) = decide(&stage.observed, at(NOW)).effect else { panic!("not due") };
    let entry = "connector: jira, oauthApp: {secretRef: {name: org}}, allowedHosts: ['*.example.com']";
    let spec = format!("{{defaults: [{{{entry}, authTypes: [OAuth2ClientCredentials]}}]}}");
    let policy = ConnectionPolicy::new("p", serde_yaml::from_str(&spec).unwrap());
    stage.observed.policy = Arc::new(EffectivePolicy::of(&[&policy], &Ancestry::default(), "jira"));
    stage.observed.connection.spec.oauth_app = None;
    assert!(client(&stage.context, &stage.observed).await.unwrap().is_none(), "it is not even read");
    let outcome = request_token(&stage.context, &stage.observed, &seen, &plan).await.unwrap();
    assert_eq!((outcome, stage.provider.sent()), (Outcome::Superseded, vec![]));
}

#[tokio::test]
async fn a_refresh_token_that_was_exchanged_is_kept_with_its_own_end() {
    let mut stage = Stage::new().await.consented().await;
    let answer = json!({ "access_token": "access-2", "refresh_token": "refresh-2", "scope": "read" });
    stage.provider.answers(200, answer);
    let Outcome::TokenStored(facts) = stage.refresh().await else { panic!("no token") };
    assert_eq!((facts.refresh_token_expires_at, facts.granted_scopes), (None, vec!["read".to_owned()]));
    assert_eq!(token_of(&stage.stored().await), ("access-2", Some("refresh-2")));
}

#[tokio::test]
async fn n20_a_refused_refresh_token_is_a_lost_consent() {
    let mut stage = Stage::new().await.consented().await;
    stage.provider.answers(400, invalid_grant());
    let Outcome::AttemptFailed(failure) = stage.refresh().await else { panic!("no failure") };
    assert_eq!((failure.reason, failure.class), (Reason::ReconsentRequired, FailureClass::Permanent));
    assert_eq!(token_of(&stage.stored().await), ("access-1", Some("refresh-1")));
}

#[tokio::test]
async fn a_refresh_that_somebody_else_won_is_no_failure() {
    let mut stage = Stage::new().await.consented().await;
    let (api, name) = (stage.api.clone(), token_secret(stage.observed.uid()));
    stage.provider.meanwhile(move || api.touch(&name));
    stage.provider.answers(400, invalid_grant());
    assert_eq!(stage.refresh().await, Outcome::Superseded);
}

#[tokio::test]
async fn a_refresh_does_not_write_over_a_consent_that_was_given_meanwhile() {
    let mut stage = Stage::new().await.consented().await;
    let (api, name) = (stage.api.clone(), token_secret(stage.observed.uid()));
    stage.provider.meanwhile(move || api.touch(&name));
    stage.provider.answers(200, json!({ "access_token": "access-2", "refresh_token": "refresh-2" }));
    assert_eq!(stage.refresh().await, Outcome::Superseded);
    assert_eq!(token_of(&stage.stored().await), ("access-1", Some("refresh-1")));
}

#[tokio::test]
async fn a_refresh_whose_answer_is_lost_is_tried_again_with_the_same_refresh_token() {
    let mut stage = Stage::new().await.consented().await;
    stage.provider.breaks();
    let Outcome::AttemptFailed(failure) = stage.refresh().await else { panic!("no failure") };
    assert_eq!(failure.class, FailureClass::Transient);
    stage.provider.answers(200, json!({ "access_token": "access-2" }));
    assert!(matches!(stage.refresh().await, Outcome::TokenStored(_)));
    assert_eq!(stage.provider.sent(), ["grant_type=refresh_token&refresh_token=refresh-1"; 2]);
}

#[tokio::test]
async fn a_new_leader_leaves_the_refresh_token_alone_while_the_old_ones_request_may_last() {
    let mut stage = Stage::leading_for(Duration::from_secs(1)).await.consented().await;
    assert_eq!(stage.refresh().await, Outcome::Superseded);
    assert_eq!(stage.provider.sent(), [] as [&str; 0]);
}

#[tokio::test]
async fn no_refresh_token_is_spent_while_its_successor_could_not_be_stored() {
    let mut stage = Stage::new().await.consented().await;
    stage.api.refuse(&[403]);
    let Outcome::AttemptFailed(failure) = stage.refresh().await else { panic!("no failure") };
    assert_eq!((failure.reason, failure.class), (Reason::TokenStoreBlocked, FailureClass::Transient));
    assert_eq!(stage.provider.sent(), [] as [&str; 0]);
}

#[rstest]
#[case::the_grant_with_its_refresh_token(Some("refresh-1"), "token=refresh-1&token_type_hint=refresh_token")]
#[case::the_access_token_where_there_is_no_other(None, "token=access-1&token_type_hint=access_token")]
#[tokio::test]
async fn s24_a_persons_grant_is_revoked_by_its_most_lasting_token(
    #[case] refresh_token: Option<&str>,
    #[case] sent: &str,
) {
    let mut stage = Stage::new().await;
    let revocable = PERSON.replace("tokenURL:", "revokeURL: https://login.example.com/revoke\n    tokenURL:");
    stage.observed.connector = valid(&revocable, 1);
    let refresh_token = refresh_token.map(|token| token.to_owned().into());
    let record = TokenRecord { refresh_token, ..stage.record() };
    store_consent(&stage.context, &stage.observed.connection, &record, "consent-1").await.unwrap();
    stage.provider.answers(200, json!({}));
    assert_eq!(revoke(&stage.context, &stage.observed).await, Ok(()));
    assert_eq!(stage.provider.sent(), [sent]);
}
