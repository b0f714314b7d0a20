"""What the maps are for: failures, attacks, bias, segmentation, a new domain, and which of two models to choose."""
