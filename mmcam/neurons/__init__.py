"""Units, what they are called, and explanations in words."""
