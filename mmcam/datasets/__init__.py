"""Readers of official formats, and a world of drawn pictures with the truth in it."""
