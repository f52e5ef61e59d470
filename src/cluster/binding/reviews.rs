//! Whether a process may use a Connection, as the API server's authorizers say. Answers are kept until rights change, or
//! for about an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::UserInfo;
use kube::Client;

use crate::api::names::GROUP;
use crate::cluster::Error;
use crate::cluster::review::{Subject, may};
use crate::cluster::rights::Reach;
use crate::domain::binding::REVIEW_AGAIN;

/// Answers that are kept at most.
const KEPT: usize = 50_000;

/// A ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cluster) struct Account {
    pub namespace: String,
    pub name: String,
}

impl Account {
    /// As the API server knows a process with it.
    fn user(&self) -> UserInfo {
        let Self { namespace, name } = self;
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        UserInfo {
            username: Some(format!("system:serviceaccount:{namespace}:{name}")),
            groups: Some(groups.into()),
            ..UserInfo::default()
        }
    }
}

/// Who asks to use which Connection: its namespace, and its name.
type Question = (Account, String, String);

/// What a review said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Answer {
    /// Whether the process may.
    pub allowed: bool,
    /// How long ago it was asked.
    pub age: Duration,
}

/// Reviews that were made.
#[derive(Default)]
pub(in crate::cluster) struct Reviews(Mutex<Known>);

#[derive(Default)]
struct Known {
    answers: HashMap<Question, (Instant, bool)>,
    /// Counts what was forgotten: an answer to a question from before a change of rights is not kept.
    changes: u64,
}

impl Reviews {
    /// Whether that process may use a Connection of that name, whether or not there is one.
    pub(in crate::cluster) async fn may_use(
        &self,
        client: &Client,
        account: &Account,
        namespace: &str,
        name: &str,
    ) -> Result<Answer, Error> {
        let question = (account.clone(), namespace.to_owned(), name.to_owned());
        let asked_at = Instant::now();
        let changes = match self.known(&question, asked_at) {
            Ok(answer) => return Ok(answer),
            Err(changes) => changes,
        };
        let subject = Subject { verb: "use", group: GROUP, resource: "connections", namespace, name };
        let allowed = may(client, &account.user(), &subject).await;
        let allowed = allowed.map_err(Error::api("review what a process may do"))?;
        self.keep(question, allowed, changes, asked_at);
        Ok(Answer { allowed, age: asked_at.elapsed() })
    }

    /// The answer, or how often rights have changed until now.
    fn known(&self, question: &Question, now: Instant) -> Result<Answer, u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = known.answers.get(question);
        let answer = answer.map(|(at, allowed)| Answer { allowed: *allowed, age: now.duration_since(*at) });
        answer.filter(|answer| answer.age < REVIEW_AGAIN).ok_or(known.changes)
    }

    fn keep(&self, question: Question, allowed: bool, changes: u64, asked_at: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.changes != changes {
            return;
        }
        if known.answers.len() >= KEPT {
            // Mostly those of bindings that are gone; the others are asked again.
            known.answers.clear();
        }
        known.answers.insert(question, (asked_at, allowed));
    }

    /// Rights have changed.
    pub(in crate::cluster) fn forget(&self, reach: &Reach) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        known.answers.retain(|(_, namespace, _), _| !reach.includes(namespace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn question(namespace: &str) -> Question {
        let account = Account { namespace: "shop".to_owned(), name: "orders".to_owned() };
        (account, namespace.to_owned(), "crm".to_owned())
    }

    #[test]
    fn a_process_is_asked_about_as_the_api_server_knows_it() {
        let user = question("x").0.user();
        assert_eq!(user.username.as_deref(), Some("system:serviceaccount:shop:orders"));
        let groups = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"];
        assert_eq!(user.groups.unwrap(), groups);
    }

    #[test]
    fn an_answer_is_kept_with_its_age_until_rights_change_there_or_it_is_too_old() {
        let reviews = Reviews::default();
        let now = Instant::now();
        reviews.keep(question("a"), true, 0, now);
        reviews.keep(question("b"), false, 0, now);
        let known = |namespace: &str, age| reviews.known(&question(namespace), now + age);
        assert_eq!(known("a", Duration::ZERO), Ok(Answer { allowed: true, age: Duration::ZERO }));
        let old = REVIEW_AGAIN.mul_f64(0.99);
        assert_eq!(known("b", old), Ok(Answer { allowed: false, age: old }));
        assert_eq!(known("a", REVIEW_AGAIN), Err(0));

        reviews.forget(&Reach::of(Some("a".to_owned())));
        assert_eq!(known("a", Duration::ZERO), Err(1));
        assert_eq!(known("b", Duration::ZERO), Ok(Answer { allowed: false, age: Duration::ZERO }));
        reviews.forget(&Reach::of(None));
        assert_eq!(known("b", Duration::ZERO), Err(2));
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_kept() {
        let reviews = Reviews::default();
        let now = Instant::now();
        let changes = reviews.known(&question("a"), now).unwrap_err();
        reviews.forget(&Reach::of(Some("a".to_owned())));
        reviews.keep(question("a"), true, changes, now);
        assert_eq!(reviews.known(&question("a"), now), Err(1));
    }
}
