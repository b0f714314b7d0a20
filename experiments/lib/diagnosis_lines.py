"""The Grad-CAM paper's section 6, diagnosis: published figures, and where the measured ones are."""

from __future__ import annotations

from typing import Final

from experiments.lib.measured import before_after, cell, fell_on_it, photo_networks, pointed
from experiments.lib.paper_line import Line

DIAGNOSED: Final = (
    Line(
        "6.1 failure modes",
        "does the map of the true class point at the thing though the answer is wrong? %",
        "python -m experiments.paper.failure_modes --data ilsvrc --root DIR --network vgg16=FILE",
        "pictures only",
        ("failure-modes-real", "wrong-test-gradcam"),
        lambda: "maps of answers, on what the question is about: wrong {}, right {} (vignette-san)".format(
            fell_on_it("vignette-san", False), fell_on_it("vignette-san", True)
        ),
        lambda: "; ".join(
            f"{network}: wrong {pointed(network, 'wrong')}, right {pointed(network, 'right')}"
            for network in photo_networks("failure-modes-real")
        ),
        "as localisation",
    ),
    Line(
        "6.2 adversarial noise",
        "pointing at the true class before → after %",
        "python -m experiments.paper.adversarial",
        "pictures only",
        ("adversarial-vignettes", "adversarial-pgd-vignettes", "adversarial-real"),
        lambda: (
            f"{before_after('adversarial-vignettes', 'vignette-classifier')}; PGD: "
            f"{before_after('adversarial-pgd-vignettes', 'vignette-classifier')}"
        ),
        lambda: "; ".join(
            f"{network}: {before_after('adversarial-real', network)}" for network in photo_networks("adversarial-real")
        ),
        "none",
    ),
    Line(
        "6.3 bias",
        "texts of a biased classifier name the scene it goes by %",
        "python -m experiments.paper.neuron_truth",
        "doctor or nurse: accuracy 82 → 90 % once rebalanced, maps on the face",
        ("neuron-bias",),
        lambda: "biased {}, unbiased {}".format(
            cell("neuron-bias", "names_the_scene", world="biased", pictures_of="boat, sea"),
            cell("neuron-bias", "names_the_scene", world="as it is", pictures_of="boat, sea"),
        ),
        None,
        "none",
    ),
    Line(
        "6.3 bias",
        "right in a balanced test %, and the share of cats' maps on the umbrella that stood beside most of them %",
        "python -m experiments.paper.dataset_bias",
        "doctor or nurse: accuracy 82 → 90 % once rebalanced, maps on the face",
        ("dataset-bias",),
        lambda: "; ".join(
            f"{kind}: {cell('dataset-bias', 'right', set=kind)}, " + cell("dataset-bias", "umbrella of cats", set=kind)
            for kind in ("biased", "balanced")
        ),
        None,
        "none",
    ),
)
