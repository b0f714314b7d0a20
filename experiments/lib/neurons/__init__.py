"""Do the names of units tell the truth? The parts of `experiments.paper.neuron_truth`."""
