"""A table or figure of the paper each."""
