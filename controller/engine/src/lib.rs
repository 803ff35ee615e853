//! The pure release logic: observe, ask, plan; no I/O, no clock, no randomness.
