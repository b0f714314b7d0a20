"""Segmentation learnt from labels alone: maps as seeds, and the three losses of SEC (arXiv 1603.06098)."""
