//! The operator is killed before and after each thing that it does outside, and started again: all comes out as it
//! would have without, and stays so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::report;
use super::scenarios::{Run, Scene, Settled};
use crate::support::boundaries::{Cut, Place, Side};
use crate::support::fault_proxy::REHEARSAL;
use crate::support::waiting::holds_for;

/// The sides on which a kill makes a difference: after a rehearsal all is as before it.
pub(super) fn sides(place: &Place) -> &'static [Side] {
    if place.what.starts_with(REHEARSAL) { &[Side::Before] } else { &[Side::Before, Side::After] }
}

/// Runs a scenario without a fault, then once for each boundary and side; all must end alike.
async fn cut_everywhere(
    scene: &Scene,
    scenario: &str,
    settled: &mut Vec<Settled>,
    run: impl AsyncFn(&str, Option<Cut>) -> Result<Run>,
) -> Result<usize> {
    let reference =
        run(&format!("{scenario}-whole"), None).await.with_context(|| format!("{scenario}, whole"))?;
    settled.extend(reference.settled);
    let mut kills = 0;
    let mut slowest = Duration::ZERO;
    for (number, place) in Place::all(&reference.boundaries).into_iter().enumerate() {
        for side in sides(&place) {
            let name = format!("{scenario}-{number}-{side:?}").to_lowercase();
            let started = Instant::now();
            let cut = (place.clone(), *side);
            let place = || format!("{scenario}, killed {side:?} boundary {number} ({})", place.what);
            let again = run(&name, Some(cut)).await.with_context(place)?;
            slowest = slowest.max(started.elapsed());
            ensure!(
                again.reached,
                "{}: never got there; passed {:?} instead of {:?}",
                place(),
                again.boundaries,
                reference.boundaries
            );
            assert_eq!(again.outcome, reference.outcome, "{}; passed {:?}", place(), again.boundaries);
            settled.extend(again.settled);
            kills += 1;
        }
    }
    scene.no_orphans().await?;
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    reference.boundaries.iter().for_each(|what| *counted.entry(what).or_default() += 1);
    report(&format!(
        "crashes: {scenario:<9} {:>2} boundaries {kills:>3} kills, slowest run {:.1} s: {counted:?}",
        reference.boundaries.len(),
        slowest.as_secs_f64()
    ));
    Ok(kills)
}

#[tokio::test]
async fn killed_before_or_after_anything_it_does_the_operator_ends_where_it_would_have() -> Result<()> {
    let started = Instant::now();
    let scene = Scene::new().await?;
    let mut settled = Vec::new();
    let mut kills = cut_everywhere(&scene, "token", &mut settled, async |name, cut| {
        scene.apply_to_ready(name, Scene::client_credentials(), &[1, 2], cut).await
    })
    .await?;
    kills += cut_everywhere(&scene, "static", &mut settled, async |name, cut| {
        scene.apply_to_ready(name, Scene::personal_access_token(), &[], cut).await
    })
    .await?;
    kills +=
        cut_everywhere(&scene, "deletion", &mut settled, async |name, cut| scene.deletion(name, cut).await)
            .await?;
    kills += cut_everywhere(&scene, "folder", &mut settled, async |name, cut| scene.folder(name, cut).await)
        .await?;

    // One more restart, with nothing to do.
    scene.stage.boundaries.kill();
    let mark = scene.stage.proxy.mark();
    scene.stage.operate().await?;
    holds_for("nothing is written after a restart", Duration::from_secs(5), async || {
        Ok(scene.stage.writes_about(mark, &[""]).is_empty())
    })
    .await?;
    for Settled { name, uid, mark } in &settled {
        let later = scene.stage.writes_about(*mark, &[&format!("/{name}"), uid]);
        assert!(later.is_empty(), "{name} was settled, and then: {later:?}");
    }
    report(&format!(
        "crashes: {kills} kill points, all ended like the undisturbed run; {} settled connections were left alone \
         through all later restarts; {:.0} s",
        settled.len(),
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}
