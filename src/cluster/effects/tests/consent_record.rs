//! The record of a consent, over whatever is there.

use rstest::rstest;

use super::*;
use crate::api::connection::TokenStatus;
use crate::api::names::token_secret;
use crate::cluster::effects::consent_record::{StoredConsent, rehearse_consent, store_consent};

impl Stage {
    /// The number under which a consent is stored.
    async fn store(&self, consent_id: &str) -> i64 {
        let stored =
            store_consent(&self.context, &self.observed.connection, &self.record(), consent_id).await;
        let StoredConsent::Stored(facts) = stored.unwrap() else { panic!("refused") };
        assert_eq!(facts.consent_id, consent_id);
        facts.sequence
    }

    /// The last number that the status knows.
    fn knows(&mut self, sequence: i64) {
        let status = self.observed.connection.status.get_or_insert_default();
        status.token = Some(TokenStatus { sequence, ..TokenStatus::default() });
    }
}

#[tokio::test]
async fn s11_each_consent_is_stored_over_the_one_before_under_a_higher_number() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.store("consent-1").await, 1);
    assert_eq!(stage.store("consent-2").await, 2);
    // A record that was put back is not followed by a number that is known already.
    stage.knows(7);
    assert_eq!(stage.store("consent-3").await, 8);
    stage.knows(1);
    assert_eq!(stage.store("consent-4").await, 9);
    assert_eq!(stage.stored().await.authenticated_by.as_deref(), Some("ann"));
}

#[tokio::test]
async fn a_record_that_cannot_be_opened_is_replaced() {
    let mut stage = Stage::new().await;
    stage.knows(3);
    let name = token_secret(stage.observed.uid());
    stage.api.put_secret(&name, "liaison.dev/token-of", stage.observed.uid(), &[("record", "not sealed")]);
    assert_eq!(stage.store("consent-1").await, 4);
}

#[rstest]
#[case::others_were_faster(&[409, 409])]
#[case::the_api_server_is_away_for_a_moment(&[503, 500])]
#[tokio::test]
async fn a_consents_token_is_not_lost_to_a_conflict_or_a_passing_fault(#[case] faults: &[u16]) {
    let stage = Stage::new().await;
    stage.api.refuse(faults);
    assert_eq!(stage.store("consent-1").await, 1);
    assert_eq!(stage.api.writes(), 1);
}

#[tokio::test]
async fn what_the_api_server_refuses_is_found_out_before_and_told_after() {
    let stage = Stage::new().await;
    let connection = &stage.observed.connection;
    assert_eq!(rehearse_consent(&stage.context, connection).await.unwrap(), None);
    stage.api.refuse(&[403, 403]);
    assert_eq!(
        rehearse_consent(&stage.context, connection).await.unwrap().as_deref(),
        Some("exceeded quota")
    );
    let refused = store_consent(&stage.context, connection, &stage.record(), "consent-1").await.unwrap();
    assert_eq!(refused, StoredConsent::Refused("exceeded quota".to_owned()));
    assert_eq!(stage.api.writes(), 0, "a rehearsal stores nothing");
}

#[tokio::test]
async fn a_secret_that_is_not_ours_is_not_written_over() {
    let stage = Stage::new().await;
    let name = token_secret(stage.observed.uid());
    stage.api.put_secret(&name, "app", "other", &[("record", "precious")]);
    let connection = &stage.observed.connection;
    let cause = rehearse_consent(&stage.context, connection).await.unwrap().unwrap();
    assert!(cause.contains("is there without the label"), "{cause}");
    let refused = store_consent(&stage.context, connection, &stage.record(), "consent-1").await.unwrap();
    assert_eq!(refused, StoredConsent::Refused(cause));
}
