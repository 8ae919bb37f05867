//! Specs, facts and capacity to a plan.
