"""One picture for each family of methods: every method's map of the same target.

python -m experiments.pages.method_pictures        # writes docs/images/methods-*.webp
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

import mmcam
import models
from experiments.lib.sheets import keep_sheet
from mmcam.datasets import vignettes
from mmcam.drawing.strip import draw_strip
from mmcam.methods.registry import Family

PAGES: Final[dict[Family, list[tuple[str, str, dict[str, Any]]]]] = {
    "cam": [
        ("gradcam", "gradcam", {}),
        ("gradcam", "counterfactual", {"counterfactual": True}),
        ("gradcam++", "gradcam++", {}),
        ("smooth_gradcam++", "smooth_gradcam++", {}),
        ("layercam", "layercam", {}),
        ("xgradcam", "xgradcam", {}),
        ("hirescam", "hirescam", {}),
    ],
    "pixels": [
        (name, name, {})
        for name in (
            "gradient", "gradient_x_input", "integrated_gradients", "smoothgrad", "guided_backprop", "deconvnet",
            "guided_gradcam", "deconv_gradcam",
        )
    ],
    "excitation": [(name, name, {}) for name in ("gradcam", "excitation_backprop", "c_mwp")],
    "perturbation": [(name, name, {}) for name in ("gradcam", "occlusion", "rise", "scorecam", "ablationcam")],
}  # fmt: skip


def main(
    seed: int = 20_000_011,
    kind: Annotated[
        str | None, typer.Option(help="The kind of thing to explain; default the first in the picture.")
    ] = None,
    out: Path = Path("docs/images"),
) -> None:
    """Draw methods-FAMILY.webp for every family."""
    scene = vignettes.draw(seed)
    classifier = models.load("vignette-classifier")
    wanted = kind or scene.truth.things[0].kind
    for family, entries in PAGES.items():
        panels = [(scene.image, f"the picture: {wanted}?")]
        for method, title, options in entries:
            exp = mmcam.explain_class(classifier, scene.image, wanted, method=method, **options)
            panels.append((exp.overlay(), title))
        strip = draw_strip(panels, [""] * len(panels), columns=3 if len(panels) % 3 == 0 else 4)
        print(keep_sheet(out / f"methods-{family}.webp", strip))


if __name__ == "__main__":
    typer.run(main)
