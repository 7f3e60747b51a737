"""Simulated trading systems for demo, drills and tests, with a ledger of every effect they saw."""
