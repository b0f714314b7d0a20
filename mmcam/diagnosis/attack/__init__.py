"""Noise that makes a model see what is not there, and where the maps of what is there lie then."""
