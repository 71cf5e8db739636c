//! A model of how a task is launched, and of what happens to it when leaders change, processes die and agents come back:
//! small enough that every interleaving of it can be looked at.
//!
//! It follows `ARCHITECTURE.md`, `master-core`'s `decide::reregistration` and the server's `nudge`, in its own words: it links
//! none of them, so that a mistake there is not a mistake here. [`system`] says what there is, [`steps`] what can happen,
//! [`rules`] what masters and agents do about it, [`properties`] what must hold. [`Variant`] puts known mistakes in, which the
//! check must find. `docs/model.md` says what is left out.
//!
//! Time does not exist: whoever is paused is one that takes no step for a while, so that pauses need no words of their own.

pub mod cases;
pub mod check;
pub mod properties;
pub mod rules;
pub mod steps;
pub mod story;
pub mod system;

pub use check::{Bounds, Found, LaunchModel, Variant, check, search};
