"""One pass through a model: activations at a layer, and the gradients of every target with respect to them."""
