"""The version that every explanation carries."""

__version__ = "0.2.0"
