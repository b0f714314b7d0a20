"""The version that every explanation carries."""

__version__ = "0.1.0"
