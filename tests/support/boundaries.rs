//! The boundaries of a run: the points at which something outside changes (a write to the API server, a request to a
//! provider). A run can be cut at any of them, which kills the operator there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::operator::Operator;

/// On which side of a boundary the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was asked for has not happened.
    Before,
    /// It has happened, and the operator never learns of it.
    After,
}

/// A boundary of a run: what passes there, and how many of the same pass before. What happens at the same time comes in
/// any order, so that a number alone would not find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub what: String,
    pub before: usize,
}

impl Place {
    /// The places of all that was passed, in their order.
    pub fn all(passed: &[String]) -> Vec<Self> {
        let earlier =
            |number: usize, what: &String| passed[..number].iter().filter(|past| *past == what).count();
        let place =
            |(number, what): (usize, &String)| Self { what: what.clone(), before: earlier(number, what) };
        passed.iter().enumerate().map(place).collect()
    }
}

/// A place to cut a run at, and the side.
pub type Cut = (Place, Side);

/// A request on its way over a boundary.
#[derive(Clone, Debug)]
pub struct Passage {
    place: Place,
    /// Whether the operator was killed just now, and the request must get no further.
    pub cut: bool,
}

#[derive(Default)]
struct State {
    counting: bool,
    passed: Vec<String>,
    cut: Option<Cut>,
    cut_at: Option<Instant>,
    operator: Option<Operator>,
}

/// Counts boundaries, and kills at one of them.
#[derive(Default)]
pub struct Boundaries(Mutex<State>);

impl Boundaries {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator that is killed at the cut.
    pub fn watch_over(&self, operator: Operator) {
        self.state().operator = Some(operator);
    }

    /// Whether there is an operator; none is left after a cut.
    pub fn has_operator(&self) -> bool {
        self.state().operator.is_some()
    }

    /// Ends the operator without a boundary.
    pub fn kill(&self) {
        if let Some(operator) = self.state().operator.take() {
            assert!(operator.kill().is_ok(), "the operator cannot be killed");
        }
    }

    /// Counts from now on.
    pub fn begin(&self, cut: Option<Cut>) {
        let mut state = self.state();
        (state.counting, state.cut, state.cut_at) = (true, cut, None);
        state.passed.clear();
    }

    /// When the present run was cut, if it was.
    pub fn cut_at(&self) -> Option<Instant> {
        self.state().cut_at
    }

    /// Counts no more; tells what was passed, and whether the cut was reached.
    pub fn end(&self) -> (Vec<String>, bool) {
        let mut state = self.state();
        state.counting = false;
        (std::mem::take(&mut state.passed), state.cut.take().is_none())
    }

    /// A request has come to a boundary; `what` says which.
    pub fn arrives(&self, what: &str) -> Option<Passage> {
        let mut state = self.state();
        if !state.counting {
            return None;
        }
        let before = state.passed.iter().filter(|past| *past == what).count();
        state.passed.push(what.to_owned());
        let place = Place { what: what.to_owned(), before };
        Some(Passage { cut: cut_here(&mut state, &place, Side::Before), place })
    }

    /// What was asked for has happened; its answer has not been given yet.
    pub fn leaves(&self, passage: &Passage) {
        cut_here(&mut self.state(), &passage.place, Side::After);
    }
}

fn cut_here(state: &mut State, place: &Place, side: Side) -> bool {
    let here = state.cut.as_ref().is_some_and(|cut| cut.0 == *place && cut.1 == side);
    if !state.counting || !here {
        return false;
    }
    state.cut = None;
    state.cut_at = Some(Instant::now());
    if let Some(operator) = state.operator.take() {
        // Returns when the process is gone: it cannot see an answer any more.
        assert!(operator.kill().is_ok(), "the operator cannot be killed");
    }
    true
}
