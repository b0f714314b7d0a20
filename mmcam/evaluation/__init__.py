"""Metrics: pure functions on maps and truth."""
