"""One script for each table or figure, and one for each training run."""
