"""One inbound payload in, typed events with deterministic ids out. Pure functions: no I/O, no clock, no state."""
