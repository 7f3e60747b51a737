"""Andon: an event-driven alert responder for trading systems."""

__version__ = "0.1.0"
