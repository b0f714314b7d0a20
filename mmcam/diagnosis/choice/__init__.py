"""Which of two models to choose, where both are right: the one whose maps lie on the thing, and matter to it."""
