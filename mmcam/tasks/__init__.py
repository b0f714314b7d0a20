"""Tasks: what a model's output means, and the one scalar of it that is explained."""
