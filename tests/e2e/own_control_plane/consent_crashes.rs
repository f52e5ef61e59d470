//! The operator is killed before and after each thing that it does for a consent, and for a refresh that exchanges the
//! refresh token. Nobody is left without a word, and what is good once is presented once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use liaison::api::consent_request::Phase;
use liaison::api::names::TOKEN_LABEL;
use liaison::api::{Connection, ConsentRequest};
use liaison::domain::conditions::ConditionType::{Authenticated, Ready};
use serde_json::{Value, json};

use super::consenting::{Attempt, PeopleScene, reason};
use super::crashes::sides;
use super::rotating_provider::{Reuse, RotatingProvider};
use super::scenarios::{Settled, without_times};
use super::{RECOVERS, report};
use crate::fixtures::message;
use crate::support::boundaries::{Cut, Place, Side};

/// Lifetime of a first token that is to be refreshed, and of one that is not.
const SHORT: u32 = 4;
const LONG: u32 = 3600;

/// How a kill shows to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Not at all, but for a step that they had to repeat.
    Nothing,
    /// A page tells them to begin again.
    Page,
    /// The Connection tells that a new consent is needed.
    Reconsent,
}

/// A run: what it passed, what the person saw, how all stood at its end, and when that was after the kill.
struct Run {
    boundaries: Vec<String>,
    reached: bool,
    shown: Shown,
    outcome: Value,
    recovered_after: Option<Duration>,
    settled: Option<Settled>,
}

/// What is run over and over.
struct Scenario {
    name: &'static str,
    /// Number of the token that it ends with: of a consent, or of the refresh after it.
    sequence: i64,
    /// Whether the provider has a grace period for used refresh tokens.
    lenient: bool,
}

struct Scene {
    people: PeopleScene,
    provider: RotatingProvider,
}

impl Scene {
    async fn new() -> Result<Self> {
        let people = PeopleScene::new("consent-crashes").await?;
        let provider = RotatingProvider::default();
        let answering = provider.clone();
        people.stage.script(move |request| answering.answer(request));
        Ok(Self { people, provider })
    }

    /// Whether the Connection becomes Ready with this token; else it calls for a new consent.
    async fn becomes_ready(&self, name: &str, sequence: i64) -> Result<bool> {
        let called = |connection: &Connection| reason(connection, Authenticated) == "ReconsentRequired";
        let decided = |connection: &Connection| is_ready(connection, sequence) || called(connection);
        Ok(is_ready(&self.people.until(name, decided).await?, sequence))
    }

    /// A consent for a new Connection, and the refresh of its token where one is to follow.
    async fn run(&self, scenario: &Scenario, name: &str, cut: Option<Cut>) -> Result<Run> {
        let sequence = scenario.sequence;
        self.provider.set(if sequence == 1 { LONG } else { SHORT }, scenario.lenient);
        // A Connector of its own: what a Connection is among others depends on those for the same one.
        self.people.connector(name).await?;
        self.people.waiting(name, name).await?;
        let boundaries = &self.people.stage.boundaries;
        boundaries.begin(cut);
        let mut shown = self.consent(name).await?;
        if shown == Shown::Nothing && !self.becomes_ready(name, sequence).await? {
            shown = Shown::Reconsent;
        }
        if shown == Shown::Reconsent {
            self.calls_for_person(name, sequence).await?;
        }
        // A person who does what they are told to.
        if shown != Shown::Nothing {
            self.provider.set(LONG, scenario.lenient);
            ensure!(self.consent(name).await? == Shown::Nothing, "the next consent succeeds");
        }
        let connection = self.people.until(name, |connection| is_ready(connection, sequence)).await?;
        let recovered_after = boundaries.cut_at().map(|killed| killed.elapsed());
        self.people.stage.operate().await?;
        let (boundaries, reached) = boundaries.end();
        let outcome = self.outcome(name, &connection).await?;
        let uid = connection.uid().context("uid")?;
        // The account of a second consent is asked for later: two requests about one Connection keep their distance.
        let is_settled = sequence == 1 || shown == Shown::Nothing;
        let settled = Settled { name: name.to_owned(), uid, mark: self.people.stage.proxy.mark() };
        let settled = is_settled.then_some(settled);
        Ok(Run { boundaries, reached, shown, outcome, recovered_after, settled })
    }

    /// What a person sees of their consent.
    async fn consent(&self, name: &str) -> Result<Shown> {
        let ended = match self.people.attempt(name).await? {
            Attempt::Told(page) => {
                ensure!(page.contains("run kubectl liaison connect again"), "{page}");
                return Ok(Shown::Page);
            }
            Attempt::Ended(ended) => ended,
        };
        let ConsentRequest { status, .. } = *ended;
        let status = status.unwrap_or_default();
        if status.phase == Some(Phase::Succeeded) {
            return Ok(Shown::Nothing);
        }
        ensure!(status.reason.as_deref() == Some("ReconsentRequired"), "{}", json!(status));
        let command = format!("run `kubectl liaison connect {name} -n consent-crashes` again");
        ensure!(status.message.is_some_and(|message| message.contains(&command)), "no {command}");
        Ok(Shown::Reconsent)
    }

    /// What is lost is said within a minute, together with what to do; and nothing is left of a first consent.
    async fn calls_for_person(&self, name: &str, sequence: i64) -> Result<()> {
        let connection =
            self.people.until(name, |connection| reason(connection, Ready) == "ReconsentRequired").await?;
        let killed = self.people.stage.boundaries.cut_at().context("killed")?;
        ensure!(killed.elapsed() < RECOVERS, "{:?} after the kill", killed.elapsed());
        let command = format!("`kubectl liaison connect {name} -n consent-crashes`");
        ensure!(message(&connection, Ready).contains(&command), "{}", message(&connection, Ready));
        let stored = usize::try_from(sequence - 1)?;
        ensure!(self.token_secrets(&connection).await? == stored, "token Secrets beside {stored}");
        Ok(())
    }

    /// How a Connection stands, without what differs from run to run: times and names.
    async fn outcome(&self, name: &str, connection: &Connection) -> Result<Value> {
        let mut outcome = json!({
            "status": without_times(json!(connection.status)),
            "finalizers": connection.finalizers(),
            "tokenSecrets": self.token_secrets(connection).await?,
        });
        ensure!(outcome["status"]["accountConsent"].take().is_string(), "the account is known by a consent");
        Ok(serde_json::from_str(&outcome.to_string().replace(name, "<name>"))?)
    }

    async fn token_secrets(&self, connection: &Connection) -> Result<usize> {
        let uid = connection.uid().unwrap_or_default();
        let of_this = ListParams::default().labels(&format!("{TOKEN_LABEL}={uid}"));
        Ok(self.people.ground.secrets().list_metadata(&of_this).await?.items.len())
    }
}

fn is_ready(connection: &Connection, sequence: i64) -> bool {
    let token = connection.status.as_ref().and_then(|status| status.token.as_ref());
    reason(connection, Ready) == "Ready" && token.is_some_and(|token| token.sequence == sequence)
}

/// What a kill during a consent comes to. A link opens once and an answer is taken once, so that who has not seen what
/// came of it begins again; once a code is being redeemed, nobody presents it again.
fn shown_by_consent((place, side): &Cut) -> Shown {
    let (_, what) = place.what.split_once(' ').unwrap_or_default();
    match (what, place.before, side) {
        ("consentrequests/status Started" | "consentrequests/status Returned", _, Side::After) => Shown::Page,
        ("consentrequests/status Redeeming", _, Side::After)
        | ("POST secrets", 1, Side::Before)
        | ("connections" | "/token at the provider", ..)
        | ("secrets", _, Side::Before) => Shown::Reconsent,
        _ => Shown::Nothing,
    }
}

/// Whether the provider's answer to a refresh is lost.
fn loses_answer((place, side): &Cut) -> bool {
    matches!(
        (place.what.as_str(), side),
        ("POST /token at the provider", Side::After) | ("PATCH secrets", Side::Before)
    )
}

/// What came of all kills of one kind.
#[derive(Default)]
struct Tally {
    kills: usize,
    shown: BTreeMap<String, usize>,
    slowest: Duration,
}

/// Kills at these places, and compares with the run that nothing disturbed. `expected` is what the person sees.
async fn cut_at(
    scene: &Scene,
    scenario: &Scenario,
    whole: &Run,
    cuts: Vec<Cut>,
    expected: impl Fn(&Cut) -> Shown,
) -> Result<(usize, Vec<Settled>)> {
    let (mut tally, mut settled) = (Tally::default(), Vec::new());
    for (number, cut) in cuts.into_iter().enumerate() {
        let (place, side) = &cut;
        let place =
            || format!("{}, killed {side:?} {}, after {} of these", scenario.name, place.what, place.before);
        let name = format!("{}-{number:02}", scenario.name);
        let before = scene.provider.reuse();
        let run = scene.run(scenario, &name, Some(cut.clone())).await.with_context(place)?;
        ensure!(run.reached, "{}: never got there; passed {:?}", place(), run.boundaries);
        assert_eq!(run.shown, expected(&cut), "{}; passed {:?}", place(), run.boundaries);
        assert_eq!(run.outcome, whole.outcome, "{}; passed {:?}", place(), run.boundaries);
        // Only a refresh token whose answer was lost is presented again.
        let again = usize::from(scenario.sequence > 1 && loses_answer(&cut));
        let reuse = Reuse { refresh_tokens: before.refresh_tokens + again, ..before };
        assert_eq!(scene.provider.reuse(), reuse, "{}", place());
        tally.kills += 1;
        settled.extend(run.settled);
        *tally.shown.entry(format!("{:?}", run.shown)).or_default() += 1;
        tally.slowest = tally.slowest.max(run.recovered_after.context("killed")?);
    }
    report(&format!(
        "crashes: {:<13} {:>2} boundaries {:>3} kills, shown to the person as {:?}, slowest recovery {:.1} s",
        scenario.name,
        whole.boundaries.len(),
        tally.kills,
        tally.shown,
        tally.slowest.as_secs_f64()
    ));
    Ok((tally.kills, settled))
}

fn cuts_at(places: impl IntoIterator<Item = Place>) -> Vec<Cut> {
    let cuts =
        |place: Place| sides(&place).iter().map(move |side| (place.clone(), *side)).collect::<Vec<_>>();
    places.into_iter().flat_map(cuts).collect()
}

#[tokio::test]
async fn killed_at_any_step_of_a_consent_or_a_refresh_the_operator_loses_nothing_silently() -> Result<()> {
    let started = Instant::now();
    let scene = Scene::new().await?;
    let scenario = Scenario { name: "consent", sequence: 1, lenient: false };
    let consent = scene.run(&scenario, "consent-whole", None).await.context("consent, whole")?;
    let cuts = cuts_at(Place::all(&consent.boundaries));
    let of_consents = cut_at(&scene, &scenario, &consent, cuts, shown_by_consent).await?;

    let scenario = Scenario { name: "refresh", sequence: 2, lenient: false };
    let refresh = scene.run(&scenario, "refresh-whole", None).await.context("refresh, whole")?;
    let places = Place::all(&refresh.boundaries).into_iter();
    let cuts = cuts_at(places.skip(consent.boundaries.len()));
    let losing: Vec<_> = cuts.iter().filter(|cut| loses_answer(cut)).cloned().collect();
    let shown = |cut: &Cut| if loses_answer(cut) { Shown::Reconsent } else { Shown::Nothing };
    let of_refreshes = cut_at(&scene, &scenario, &refresh, cuts, shown).await?;
    let scenario = Scenario { name: "refresh-grace", sequence: 2, lenient: true };
    let with_grace = cut_at(&scene, &scenario, &refresh, losing, |_| Shown::Nothing).await?;

    let mut kills = 0;
    for (count, settled) in [of_consents, of_refreshes, with_grace] {
        kills += count;
        for Settled { name, uid, mark } in &settled {
            let later = scene.people.stage.writes_about(*mark, &[&format!("/{name}"), uid]);
            assert!(later.is_empty(), "{name} was settled, and then: {later:?}");
        }
    }
    report(&format!(
        "crashes: {kills} kill points of consents and refreshes of people's tokens; what had settled was left alone \
         through all later restarts; {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}
