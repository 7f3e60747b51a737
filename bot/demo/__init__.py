"""`andon demo`: a real bot and a simulated trading system in one command, to watch, to break, to play unattended."""
