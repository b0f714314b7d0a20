"""Train the bundled models and those of the experiments."""
