//! One test for each row of docs/behaviours.md that needs the whole.

mod catalogue;
mod connecting;
mod consenting;
mod examples;
mod folders;
mod issuer;
mod listener;
mod living;
mod own_app;
mod plugin;
mod provider_calls;
mod rotating;
mod seeing;
