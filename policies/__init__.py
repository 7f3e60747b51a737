"""Policy documents: load, check, match, evaluate, plan, authorise. Deterministic, no I/O."""
