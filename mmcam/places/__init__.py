"""Which layer to explain, and where its cells lie in the picture."""
