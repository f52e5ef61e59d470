//! Whole lives of Connections: passes one after the other, as the cluster adapter makes them, against providers that
//! answer as a function says.

use super::*;

/// A pass that leads to another one at once does so at most this many times in a row.
const PASSES_AT_ONCE: usize = 5;

/// A Connection, the clock, and what has happened so far.
struct Life<Provider> {
    observed: Observed,
    now: Timestamp,
    provider: Provider,
    token_requests: usize,
    probes: usize,
    writes: usize,
    events: Vec<Event>,
}

impl<Provider: FnMut(&Observed, &Effect, Timestamp) -> Outcome> Life<Provider> {
    fn of(observed: Observed, provider: Provider) -> Self {
        let (now, events) = (at(0), Vec::new());
        Self { observed, now, provider, token_requests: 0, probes: 0, writes: 0, events }
    }

    /// One pass. Says when the next one is, if nothing changes before.
    fn pass(&mut self) -> Option<Timestamp> {
        let decision = decide(&self.observed, self.now);
        let Some(effect) = decision.effect.clone() else {
            self.record(&decision);
            return decision.next;
        };
        match effect {
            Effect::RequestToken(_) => self.token_requests += 1,
            Effect::Probe => self.probes += 1,
            Effect::HoldForRevocation | Effect::Release => {}
        }
        let outcome = (self.provider)(&self.observed, &effect, self.now);
        let kept_elsewhere = matches!(outcome, Outcome::Held | Outcome::TokenStored(_));
        let after = decide_again(&self.observed, decision.status, outcome.clone(), self.now);
        let before = self.observed.connection.status.clone();
        self.observed = learn(self.observed.clone(), outcome, self.now);
        self.observed.connection.status = before;
        if !(kept_elsewhere && after.effect.is_some()) {
            self.record(&after);
        }
        if after.effect.is_some() { Some(self.now) } else { after.next }
    }

    fn record(&mut self, decision: &Decision<ConnectionStatus, Effect>) {
        if self.observed.connection.status.as_ref() != Some(&decision.status) {
            self.observed = recorded(&self.observed, &decision.status);
            self.writes += 1;
            self.events.extend(&decision.events);
        }
    }

    /// Passes until the time has come, or nothing more happens by itself.
    fn until(&mut self, end: Timestamp) {
        let mut at_once = 0;
        while self.now < end {
            let Some(next) = self.pass() else { return };
            assert!(next >= self.now, "the next pass lies in the past");
            at_once = if next == self.now { at_once + 1 } else { 0 };
            assert!(at_once <= PASSES_AT_ONCE, "passes without end at {}", self.now);
            self.now = next;
        }
    }

    fn requests(&self) -> usize {
        self.token_requests + self.probes
    }

    fn ready(&self) -> String {
        short(&self.observed.status(), ConditionType::Ready)
    }
}

/// A provider that issues tokens of this lifetime and finds every credential good.
fn generous(lifetime: i64) -> impl FnMut(&Observed, &Effect, Timestamp) -> Outcome {
    move |observed, effect, now| match effect {
        Effect::RequestToken(plan) => {
            let expires_at = Some(schedule::later(now, Duration::from_secs(lifetime.unsigned_abs())));
            Outcome::TokenStored(TokenFacts {
                sequence: plan.present_sequence + 1,
                consent_id: plan.consent_id.clone(),
                issued_at: now,
                expires_at,
                ..issued_at(observed, 0, None)
            })
        }
        Effect::Probe => probed(VerificationOutcome::Succeeded),
        Effect::HoldForRevocation | Effect::Release => Outcome::Held,
    }
}

/// A provider that is down.
fn down(_: &Observed, effect: &Effect, _: Timestamp) -> Outcome {
    match effect {
        Effect::RequestToken(_) => Outcome::AttemptFailed(transient(None)),
        Effect::Probe => probed(VerificationOutcome::Inconclusive(transient(None))),
        Effect::HoldForRevocation | Effect::Release => Outcome::Held,
    }
}

#[test]
fn a_thousand_refreshes_ask_once_per_token() {
    for (connector, lifetime) in [(CLIENT, 3600), (CLIENT, 4), (CLIENT_VERIFIED, 300)] {
        let mut life = Life::of(client(connector), generous(lifetime));
        while life.observed.status().token.is_none_or(|token| token.sequence < 1001) {
            let end = schedule::later(life.now, Duration::from_nanos(1));
            life.until(end);
            assert_eq!(life.ready(), "True/Ready");
        }
        assert_eq!(life.token_requests, 1001);
        assert_eq!(life.events, [Event::normal(Reason::Authenticated)]);
        assert!(life.writes <= 1001 + life.probes, "{} writes", life.writes);
    }
}

/// A provider that refreshes what a person granted.
fn refreshing(observed: &Observed, effect: &Effect, now: Timestamp) -> Outcome {
    let (Effect::RequestToken(plan), TokenState::Present(token)) = (effect, &observed.token) else {
        panic!("{effect:?} without a record")
    };
    assert_eq!((plan.grant, plan.present_sequence), (Grant::Refresh, token.sequence));
    let expires_at = Some(schedule::later(now, Duration::from_mins(5)));
    Outcome::TokenStored(TokenFacts {
        sequence: token.sequence + 1,
        issued_at: now,
        expires_at,
        ..token.clone()
    })
}

#[test]
fn n05_a_persons_token_is_kept_up_by_one_request_per_token_until_its_refresh_token_ends() {
    let mut life = Life::of(consented("consent-1", Some("ann@example.com")), refreshing);
    life.until(at(90_000));
    assert_eq!(life.ready(), "True/Ready");
    let sequence = life.observed.status().token.unwrap().sequence;
    assert_eq!(usize::try_from(sequence).unwrap(), 1 + life.token_requests);
    assert!(life.writes <= 1 + life.token_requests && life.probes == 0, "{} writes", life.writes);

    let requests = life.token_requests;
    life.until(at(1_000_000));
    assert_eq!(life.ready(), "False/ReconsentRequired");
    assert!(life.token_requests < requests + 50, "nothing is asked once the refresh token has ended");
    let told = [Event::normal(Reason::Authenticated), Event::warning(Reason::ReconsentRequired)];
    assert_eq!(life.events, told);
}

#[test]
fn r6_a_persons_token_that_cannot_be_refreshed_asks_at_most_300_times_a_day() {
    let mut life = Life::of(consented("consent-1", None), down);
    life.until(at(86_400));
    assert!((100..=300).contains(&life.requests()), "{}", life.requests());
    assert_eq!(life.ready(), "False/ProviderUnavailable");
}

#[test]
fn r6_a_connection_that_never_gets_a_token_asks_at_most_300_times_a_day() {
    let mut life = Life::of(client(CLIENT_VERIFIED), down);
    life.until(at(86_400));
    assert!((100..=300).contains(&life.requests()), "{}", life.requests());
    assert_eq!(life.events.len(), 1, "{:?}", life.events);
}

#[test]
fn r6_a_connection_whose_long_lived_token_cannot_be_refreshed_asks_at_most_300_times_a_day() {
    let mut observed = client(CLIENT_VERIFIED);
    observed.connection.metadata.finalizers = Some(vec![REVOKE_FINALIZER.to_owned()]);
    observed.token = TokenState::Present(issued_at(&observed, -850_000, Some(1_000_000)));
    let mut life = Life::of(observed, down);
    life.until(at(86_400));
    assert!((100..=300).contains(&life.requests()), "{}", life.requests());
    assert_eq!(life.ready(), "True/Ready");
}

#[test]
fn r6_a_credential_that_nobody_can_verify_is_tried_at_most_300_times_a_day() {
    let mut life = Life::of(personal(TOKEN), down);
    life.until(at(86_400));
    assert!((100..=300).contains(&life.requests()), "{}", life.requests());
}

#[test]
fn r6_a_provider_that_issues_only_expired_tokens_is_asked_at_most_300_times_a_day() {
    let mut life = Life::of(client(CLIENT), |observed: &Observed, effect: &Effect, now| {
        let Effect::RequestToken(plan) = effect else { return Outcome::Superseded };
        let token = issued_at(observed, 0, None);
        Outcome::TokenStored(TokenFacts {
            sequence: plan.present_sequence + 1,
            issued_at: now,
            expires_at: Some(at(-100)),
            ..token
        })
    });
    life.until(at(86_400));
    assert!((100..=300).contains(&life.requests()), "{}", life.requests());
}

#[test]
fn r6_a_provider_that_says_no_for_good_is_asked_once() {
    let mut life = Life::of(client(CLIENT), |_: &Observed, _: &Effect, _| {
        failed(Reason::ClientRejected, FailureClass::Permanent)
    });
    life.until(at(86_400));
    assert_eq!(life.requests(), 1);
    assert_eq!(life.events, [Event::warning(Reason::ClientRejected)]);
}

#[test]
fn an_outage_costs_nothing_as_long_as_the_token_is_valid_and_heals_by_itself() {
    let outage = at(2000)..at(3500);
    let mut good = generous(3600);
    let mut life = Life::of(client(CLIENT_VERIFIED), move |observed: &Observed, effect: &Effect, now| {
        if outage.contains(&now) { down(observed, effect, now) } else { good(observed, effect, now) }
    });
    life.until(at(3550));
    assert_eq!((life.ready().as_str(), life.observed.status().state), ("True/Ready", State::Connected));
    life.until(at(4500));
    assert_eq!(life.observed.status().token.unwrap().sequence, 2);
    assert_eq!(life.observed.status().last_failure, None);
    assert_eq!(life.events, [Event::normal(Reason::Authenticated)]);
}

#[test]
fn a_crash_after_any_effect_loses_nothing_but_the_pass() {
    // The status is never written, as if each pass died before; facts that are kept elsewhere suffice.
    let mut observed = client(CLIENT_VERIFIED);
    let mut provider = generous(3600);
    let mut effects = Vec::new();
    for _ in 0..3 {
        let Some(effect) = decide(&observed, at(0)).effect else { break };
        let outcome = provider(&observed, &effect, at(0));
        effects.push(effect);
        let learnt = learn(observed.clone(), outcome, at(0));
        observed = Observed { connection: Connection { status: None, ..learnt.connection }, ..learnt };
    }
    assert_eq!(effects.first(), Some(&Effect::HoldForRevocation));
    assert!(asks_for_token(effects.get(1)));
    assert_eq!(effects.get(2), Some(&Effect::Probe));
}
