"""The table beside other libraries: everything agrees that is defined alike."""

import json

from experiments.checks import agreement
from mmcam import METHODS


def test_all_agree_but_those_whose_definition_differs(tmp_path):
    agreement.main(out=tmp_path, networks=["vgg11_bn"])
    rows = json.loads((tmp_path / "agreement.json").read_text())["rows"]
    errors = {(row["method"], row["library"]): row["error"] for row in rows}
    differ = {("gradcam++", "torchcam"), ("smooth_gradcam++", "torchcam"), ("scorecam", "grad-cam")}
    assert {key: error for key, error in errors.items() if key not in differ and not error < 1e-4} == {}
    assert errors["gradcam++", "torchcam"] > 0.1, "torchcam was mended: take the note away"
    assert {method for method, _ in errors} <= METHODS.keys()
    text = (tmp_path / "agreement.md").read_text()
    assert "| gradcam | captum |" in text
    assert "[1] gradcam++, torchcam:" in text
