"""The pure heart: records, events, effects and the two machines. No I/O, no clock, no randomness."""
