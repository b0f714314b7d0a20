"""Files of weights: whatever wraps them, the network answers as the one that wrote them, or a sentence says why not."""

import json
from collections import OrderedDict
from functools import partial

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models as zoo

from mmcam import ExplainError
from mmcam.models.specification import load_model
from mmcam.models.state import fill, read_state
from mmcam.models.zoos import _head
from tests.tiny import pictures

NAME = "squeezenet1_1"  # one of the smallest


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return zoo.get_model(NAME, weights=None, num_classes=7).eval()


def load(path, name=NAME):
    return load_model(f"torchvision:{name}", path)[0]


def answers_alike(mine, theirs):
    x = pictures(1, 64)
    with torch.no_grad():
        return torch.equal(mine(x), theirs(x))


@pytest.mark.parametrize(
    "name", [NAME, "resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf"]
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_the_order_of_the_tensors_does_not_matter(tmp_path, name, suffix):
    """A .safetensors sorts them, so that the last one is not the classifier's."""
    theirs = zoo.get_model(name, weights=None, num_classes=11).eval()
    file, state = tmp_path / f"w.{suffix}", theirs.state_dict()
    torch.save(state, file) if suffix == "pth" else safetensors.torch.save_file(state, file)
    assert answers_alike(load(file, name), theirs)


@pytest.mark.long
@pytest.mark.parametrize("name", zoo.list_models(module=zoo))
def test_the_head_of_every_classifier_is_found(name):
    auxiliary = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    head = _head(partial(zoo.get_model, name, weights=None, **auxiliary))
    assert head
    assert set(head.values()) == {0}


WRAPPED = {
    "plain": lambda net: net.state_dict(),
    "a plain mapping": lambda net: dict(net.state_dict()),
    "reversed": lambda net: dict(reversed(net.state_dict().items())),
    "parallel": lambda net: nn.DataParallel(net).state_dict(),
    "compiled": lambda net: {f"_orig_mod.{key}": value for key, value in net.state_dict().items()},
    "compiled and parallel": lambda net: {f"_orig_mod.module.{key}": value for key, value in net.state_dict().items()},
    "averaged": lambda net: AveragedModel(net).state_dict(),
    "a checkpoint": lambda net: {"epoch": 3, "state_dict": net.state_dict(), "optimizer": {"lr": torch.ones(1)}},
    "torchvision's reference": lambda net: {"model": net.state_dict(), "model_ema": zero(net), "args": None},
    "an average alone": lambda net: {"state_dict_ema": net.state_dict(), "epoch": torch.tensor(3)},
    "parameters": lambda net: {key: nn.Parameter(value) for key, value in net.state_dict().items()},
    "halves": lambda net: {key: value.half() for key, value in net.state_dict().items()},
    "doubles": lambda net: {key: value.double() for key, value in net.state_dict().items()},
}


def zero(net):
    return {key: torch.zeros_like(value) for key, value in net.state_dict().items()}


@pytest.mark.parametrize("kind", WRAPPED)
def test_whatever_wraps_them(network, tmp_path, kind):
    torch.save(WRAPPED[kind](network), tmp_path / "w.pth")
    theirs = network if kind != "halves" else zoo.get_model(NAME, weights=None, num_classes=7).eval()
    if kind == "halves":
        theirs.load_state_dict({key: value.half().float() for key, value in network.state_dict().items()})
    assert answers_alike(load(tmp_path / "w.pth"), theirs)


BIAS = "classifier.1.bias"
WEIGHT = "classifier.1.weight"
REFUSED = {
    "holds no state dict": [[torch.zeros(3)], {}, torch.zeros(3), {"state_dict": {"epoch": 3}}, {"lr": 0.1}],
    "is complex": lambda s: [{key: value.to(torch.complex64) for key, value in s.items()}],
    "is sparse": lambda s: [{**s, WEIGHT: s[WEIGHT].flatten(1).to_sparse()}, {**s, BIAS: s[BIAS].to_sparse()}],
    "is quantised": lambda s: [{**s, BIAS: torch.quantize_per_tensor(s[BIAS], 0.1, 0, torch.qint8)}],
    "without values": lambda s: [{key: value.to("meta") for key, value in s.items()}],
    "more numbers than are stored": lambda s: [
        {"x": torch.zeros(1).expand(10**13)},
        {**s, BIAS: torch.zeros(1).expand(10**13), WEIGHT: torch.zeros(1, 1, 1, 1).expand(10**13, 512, 1, 1)},
    ],
    "and the network has torch.float32 there": lambda s: [
        {key: value.mul(100).long() for key, value in s.items()},
        {**s, BIAS: s[BIAS] > 0},
        {**s, WEIGHT: s[WEIGHT].to(torch.int8)},
    ],
    "whose rows are the classes": lambda s: [{BIAS: torch.zeros(())}, {"a": torch.zeros(())}, {"x": torch.zeros(0)}],
    "their classes are": lambda s: [{**s, BIAS: torch.zeros(3)}, {**s, BIAS: torch.zeros(0), WEIGHT: s[WEIGHT][:0]}],
    "calls a tensor": lambda s: [{0: torch.zeros(3)}, {("a",): torch.zeros(3)}, {None: torch.zeros(3), **s}],
    "twice": lambda s: [{**s, f"module.{BIAS}": s[BIAS]}],
    "do not fit torchvision's squeezenet1_1": lambda s: [
        {**s, "more": torch.zeros(7)},
        {**s, "epoch": torch.tensor(3)},
        {**s, "features.0.weight": "text"},
        {**s, "features.0.weight": torch.zeros(3)},
        {key: value for key, value in s.items() if key != "features.0.bias"},
    ],
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about the kinds of tensors
@pytest.mark.parametrize("why", REFUSED)
def test_or_a_sentence(network, tmp_path, why):
    contents = REFUSED[why]
    for content in contents if isinstance(contents, list) else contents(network.state_dict()):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(ExplainError, match=why) as caught:
            load(tmp_path / "w.pth")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\xff" * 40, b"[" * 200_000, (2**40).to_bytes(8, "little") + b"{}"]
)
def test_a_file_of_something_else_is_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExplainError, match="cannot be read as weights"):
        load(tmp_path / name)


@pytest.mark.parametrize("path", ["missing.pth", "a" * 5000, "a\0b", "."])
def test_no_file_at_all(path, tmp_path):
    with pytest.raises(ExplainError, match="There is no weights file at"):
        read_state(tmp_path / path)


class Versioned(nn.Module):
    """Like torchvision's MNASNet, it reads only weights that say by which version they were written."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        if local_metadata.get("version") not in (1, 2):
            raise ValueError("no version")
        self.read = local_metadata["version"]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def test_versions_are_the_files_own_or_the_present_ones(tmp_path):
    net = Versioned()
    old = nn.DataParallel(net).state_dict()
    old._metadata["module"]["version"] = 1
    torch.save(old, tmp_path / "old.pth")
    safetensors.torch.save_file(net.state_dict(), tmp_path / "plain.safetensors")
    for file, version in (("old.pth", 1), ("plain.safetensors", 2)):
        fill(net, read_state(tmp_path / file), "No")
        assert net.read == version


def test_batch_norms_of_old_have_no_counter():
    """Files from before torch 0.4.1 lack it, as torchvision's published ones did."""
    net = Versioned()
    state = {key: value + 1 for key, value in net.state_dict().items() if "num_batches" not in key}
    fill(net, state, "No")
    assert torch.equal(net.norm.running_mean, torch.ones(3))
    with pytest.raises(ExplainError, match=r'No: Missing key\(s\) in state_dict: "norm.running_mean"'):
        fill(net, OrderedDict(list(state.items())[:2]), "No")


# --- folders of runs, and of transformers -----------------------------------------------------------------------------

CARDS = {
    "is no JSON": ["{", "", "[" * 100_000, b"\xff\xfe"],
    "is no card of a run": [[], None, '"x"', {}, {"model": 3}, {"model": []}],
    "No installed package builds": [{"model": "os.system"}, {"model": "\ud800"}],
    "is not the one its card describes": [{"sha256": None}, {"sha256": 3}, {"sha256": "x"}],
    "does not describe the model whose weights": [
        {"classes": 3}, {"classes": ["a"]}, {"classes": None}, {"architecture": "x"}, {"architecture": [1]},
        {"architecture": {"nosuch": 1}}, {"model": "VQA"}, {"encoder": "../../x"}, {"encoder": 3},
    ],
}  # fmt: skip


@pytest.mark.parametrize("why", CARDS)
def test_a_card_that_is_none(tmp_path, why):
    import models

    run = tmp_path / "run"
    run.mkdir()
    whole = json.loads((models.WEIGHTS / "vignette-classifier.json").read_text(encoding="utf-8"))
    (run / "run.safetensors").write_bytes((models.WEIGHTS / "vignette-classifier.safetensors").read_bytes())
    for card in CARDS[why]:
        if isinstance(card, (str, bytes)):
            (run / "run.json").write_bytes(card if isinstance(card, bytes) else card.encode())
        else:
            changed = {**whole, **card} if isinstance(card, dict) and card else card
            (run / "run.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(ExplainError, match=why):
            load_model(str(run))


def test_a_run_without_its_weights(tmp_path):
    import models

    run = tmp_path / "run"
    (run / "run.safetensors").mkdir(parents=True)
    (run / "run.json").write_bytes((models.WEIGHTS / "vignette-classifier.json").read_bytes())
    for why in ("Is a directory", "No such file"):
        with pytest.raises(ExplainError, match=f"run.safetensors cannot be read \\({why}"):
            load_model(str(run))
        if why == "Is a directory":
            (run / "run.safetensors").rmdir()


@pytest.mark.parametrize("spec", ["a" * 5000, "a\0b", "torchvision:", ":", "timm:"])
def test_a_name_that_none_has(spec):
    with pytest.raises(ExplainError):
        load_model(spec)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "x", "auto_map": {"AutoConfig": "evil.C"}, "architectures": ["X"]},
        *({"model_type": "vit", "architectures": [kind]} for kind in ("pipeline", "AutoModel", "utils", 3)),
        *({"model_type": "vit", "architectures": kinds} for kinds in ("ViTModel", [], None, {"a": 1})),
        {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
        {"model_type": "vit", "hidden_size": "x", "architectures": ["ViTForImageClassification"]},
        [],
        None,
    ],
    ids=str,
)
def test_a_folder_of_transformers_runs_no_code_and_asks_nothing(tmp_path, config, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asks"))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExplainError) as caught:
        load_model(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
