//! One test for each row of docs/behaviours.md that needs the whole.

mod binding;
mod catalogue;
mod connecting;
mod defaults;
mod examples;
mod folders;
mod issuer;
mod living;
pub(crate) mod menu;
mod organisation;
pub(crate) mod policies;
mod processes;
mod provider_calls;
mod seeing;
mod sharing;
mod slots;
