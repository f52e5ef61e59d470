use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::UserInfo;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::consent_request::{Phase, Requester};
use crate::api::{ConsentRequest, ConsentRequestSpec, ConsentRequestStatus};
use crate::domain::admission::{self, *};

#[test]
fn a_consent_request_begins_without_a_receipt_and_five_are_enough() {
    let spec = ConsentRequestSpec::default();
    assert_eq!(consent_request(&spec, 4), Ruling::Pass);
    assert!(
        matches!(consent_request(&spec, 5), Ruling::Refuse(text) if text.starts_with("you have 5 consent requests"))
    );
    let with_receipt = ConsentRequestSpec { receipt: Some("r".to_owned()), ..spec };
    assert!(
        matches!(consent_request(&with_receipt, 0), Ruling::Refuse(text) if text.starts_with("spec.receipt"))
    );
}

#[test]
fn a_request_counts_until_its_final_phase() {
    let requester = Requester { username: "ada".to_owned(), ..Requester::default() };
    let request = |phase| {
        let spec = ConsentRequestSpec { requester: Some(requester.clone()), ..ConsentRequestSpec::default() };
        let mut request = ConsentRequest::new("r", spec);
        request.metadata.creation_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        request.status = Some(ConsentRequestStatus { phase, ..ConsentRequestStatus::default() });
        request
    };
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let is_open = |request: &ConsentRequest, username: &str| admission::is_open(request, username, at(599));
    assert!(!admission::is_open(&request(None), "ada", at(600)), "its ten minutes are over");
    assert!(is_open(&request(None), "ada") && is_open(&request(Some(Phase::Redeeming)), "ada"));
    assert!(!is_open(&request(Some(Phase::Failed)), "ada") && !is_open(&request(None), "eve"));
}

#[test]
fn a_stamp_holds_all_that_the_api_server_knows_or_is_not_made() {
    let user = UserInfo {
        username: Some("ada".to_owned()),
        uid: Some("7".to_owned()),
        groups: Some(vec!["b".to_owned(), "a".to_owned()]),
        extra: Some(BTreeMap::from([("scopes".to_owned(), vec!["x".to_owned()])])),
    };
    let stamp = requester(&user).unwrap();
    assert_eq!((stamp.username.as_str(), stamp.uid.as_str()), ("ada", "7"));
    assert_eq!(stamp.groups, ["b", "a"]);
    assert_eq!(stamp.extra["scopes"], ["x"]);

    let crowd = (0..257).map(|number| format!("g{number}")).collect();
    let crowded = UserInfo { groups: Some(crowd), ..user.clone() };
    assert!(requester(&crowded).unwrap_err().starts_with("you are in 257 groups"));
    assert!(requester(&UserInfo { username: None, ..user.clone() }).is_err());
    let long = BTreeMap::from([("a".to_owned(), vec!["x".repeat(1025)])]);
    assert!(requester(&UserInfo { extra: Some(long), ..user }).is_err());
}
