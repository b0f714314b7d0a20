"""What docs/comparison.md says of other libraries is what their installed versions are."""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import captum.attr
import pytest
import pytorch_grad_cam
import torchcam.methods

import mmcam

PAGE = (Path(__file__).parents[1] / "docs" / "comparison.md").read_text(encoding="utf-8")
COLUMNS = {"pytorch-grad-cam": pytorch_grad_cam, "torchcam": torchcam.methods, "captum": captum.attr}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE[PAGE.index("## Methods") : PAGE.index("## What is asked")].splitlines()
    if line.startswith("| ") and "---" not in line
]

# What a library would call a method of a row, whatever its spelling: none of these may hide behind a –.
KNOWN_AS = {
    "CAM": r"cam", "Grad-CAM++": r"gradcam(pp|plusplus)", "Smooth Grad-CAM++": r"smoothgradcam\w*",
    "Guided Grad-CAM": r"guidedgradcam", "deconvnet": r"deconv\w*", "guided backprop": r"guidedbackprop\w*",
    "integrated gradients": r"integratedgradients", "LIME": r"lime", "Shapley values": r"shapleyvalue\w*",
    "layer-wise relevance propagation": r"lrp", "Grad-CAM": r"(layer)?gradcam",
}  # fmt: skip


def plain(text):
    return re.sub(r"[^a-z]", "", text.lower())


def test_the_versions_are_the_installed_ones():
    for package, named in (("grad-cam", "`grad-cam`)"), ("torchcam", "torchcam"), ("captum", "captum")):
        version = re.search(rf"{re.escape(named)} ([\d.]+\d)", PAGE)[1]
        assert importlib.metadata.version(package) == version, f"look at {package} again and date the page"


@pytest.mark.parametrize("row", ROWS[1:], ids=lambda row: row[0])
def test_a_method_is_there_or_is_not(row):
    what, ours, *theirs = row
    if found := re.fullmatch(r"`(.*)`", ours):
        assert found[1] in mmcam.METHODS
    elif ours == "–":
        assert not [name for name in mmcam.METHODS if plain(name) == plain(what)]
    assert ROWS[0][2:] == list(COLUMNS)
    for module, cell in zip(COLUMNS.values(), theirs, strict=True):
        if cell == "–":
            pattern = KNOWN_AS.get(what, plain(what))
            assert not [name for name in dir(module) if re.fullmatch(pattern, plain(name))], what
        else:
            assert inspect.isclass(getattr(module, cell.strip("`")))


def test_the_layer_is_given_or_found():
    def default(function, name):
        return inspect.signature(function).parameters[name].default

    assert default(pytorch_grad_cam.GradCAM.__init__, "target_layers") is inspect.Parameter.empty
    assert default(torchcam.methods.GradCAM.__init__, "target_layer") is None
    assert default(captum.attr.LayerGradCam.__init__, "layer") is inspect.Parameter.empty


def test_guided_backprop_of_grad_cam_reads_the_first_picture_and_exchanges_modules():
    source = inspect.getsource(pytorch_grad_cam.GuidedBackpropReLUModel.__call__)
    assert "output[0, target_category]" in source
    assert "replace_all_layer_type_recursive" in source


@pytest.mark.parametrize("module", COLUMNS.values(), ids=list(COLUMNS))
def test_none_explains_a_caption_or_an_answer_or_names_units(module):
    """No module of the packages defines a public function or class of such a name."""
    root = Path(inspect.getfile(module)).parents[0 if module is pytorch_grad_cam else 1]
    names = [
        node.name
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    assert len(names) > 20
    assert not [
        name for name in names if re.search(r"caption|vqa|dissect|unit_?name|neuron_?name", name, re.IGNORECASE)
    ]
