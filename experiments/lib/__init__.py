"""What the scripts share, and the parts of those that are long."""
