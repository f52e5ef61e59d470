//! Rows of docs/behaviours.md that need a person: somebody consents, over HTTP as a browser would, or in a real one.
//! Consents need admission, which an existing cluster's API server could not ask for here.

mod binding;
mod browser;
mod consenting;
mod listener;
mod menu;
mod own_app;
mod plugin;
mod policies;
mod rotating;
