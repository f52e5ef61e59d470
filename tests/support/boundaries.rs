//! The boundaries of a run: the points at which something outside changes (a write to the API server, a request to a
//! provider). A run can be cut at any of them, which kills the operator there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::operator::Operator;

/// On which side of a boundary the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was asked for has not happened.
    Before,
    /// It has happened, and the operator never learns of it.
    After,
}

/// A place to cut a run at: the number of the boundary, from 0, and the side.
pub type Cut = (usize, Side);

/// A request on its way over a boundary.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    number: usize,
    /// Whether the operator was killed just now, and the request must get no further.
    pub cut: bool,
}

#[derive(Default)]
struct State {
    counting: bool,
    passed: Vec<String>,
    cut: Option<Cut>,
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
        (state.counting, state.cut) = (true, cut);
        state.passed.clear();
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
        let number = state.passed.len();
        state.passed.push(what.to_owned());
        Some(Passage { number, cut: cut_here(&mut state, (number, Side::Before)) })
    }

    /// What was asked for has happened; its answer has not been given yet.
    pub fn leaves(&self, passage: Passage) {
        cut_here(&mut self.state(), (passage.number, Side::After));
    }
}

fn cut_here(state: &mut State, place: Cut) -> bool {
    if !state.counting || state.cut != Some(place) {
        return false;
    }
    state.cut = None;
    if let Some(operator) = state.operator.take() {
        // Returns when the process is gone: it cannot see an answer any more.
        assert!(operator.kill().is_ok(), "the operator cannot be killed");
    }
    true
}
