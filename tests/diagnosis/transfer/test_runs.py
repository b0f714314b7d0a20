"""A run from pictures to model and report: what comes of it, that it goes on once killed, and what is refused."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.diagnosis.transfer import Asked, Settings, fitting, inputs, measured, runs
from mmcam.diagnosis.transfer.augmented import stream, varied
from mmcam.diagnosis.transfer.phases import last_layers
from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.models.specification import load_model

SIDE = 64
QUICK = Settings(batch=8, head_epochs=4, tune_epochs=2, views=2, head_rate=0.01)
BACKBONE = "timm:test_resnet"


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """Intervals are no matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "RESAMPLES", 20)
        yield


def silent(line):
    """Says nothing."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a tiny network of timm's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("test_resnet")
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Grey walls; some have a red hole, others a blue stain, whose masks are known. Two pictures a wall."""
    root, rng = tmp_path_factory.mktemp("walls"), np.random.default_rng(0)
    rows = []
    for wall in range(30):
        kind = ("sound", "hole", "stain")[wall % 3]
        for view in range(2):
            pixels = rng.integers(100, 156, (SIDE, SIDE, 3), dtype=np.uint8)
            top, left = rng.integers(4, SIDE - 24, 2)
            mask = np.zeros((SIDE, SIDE), np.uint8)
            name = f"{wall}-{view}.png"
            if kind != "sound":
                mask[top : top + 20, left : left + 20] = 255
                pixels[mask > 0] = (220, 20, 20) if kind == "hole" else (20, 20, 220)
                Image.fromarray(mask).save(root / f"mask-{name}")
            Image.fromarray(pixels).save(root / name)
            rows.append((name, kind, f"wall {wall}", "" if kind == "sound" else f"mask-{name}"))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("picture", "class", "group", "mask"), *rows])
    return root / "labels.csv"


def asked(labels, weights, out, **more):
    return Asked(labels, out, BACKBONE, weights, **{"sound": "sound", **more})


@pytest.fixture(scope="module")
def finished(labels, weights, tmp_path_factory):
    """A whole run, and its card."""
    out = tmp_path_factory.mktemp("runs") / "walls"
    return out, runs.finetune(asked(labels, weights, out), QUICK, silent)


def test_a_run_leaves_model_card_splits_and_reports(finished):
    out, card = finished
    assert {path.name for path in out.iterdir()} == {
        "walls.json", "walls.safetensors", "splits.csv", "report.html", "report.pdf"
    }  # fmt: skip
    assert json.loads((out / "walls.json").read_text()) == card
    assert [line["phase"] for line in card["history"]].count("head alone") <= QUICK.head_epochs
    assert card["history"][-1]["phase"] == "last layers too"
    with (out / "splits.csv").open() as file:
        rows = list(csv.DictReader(file))
    parts = {part: {row["group"] for row in rows if row["part"] == part} for part in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 30
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (out / "report.html").read_text()
    assert "How far it can be trusted" in page
    assert 'src="http' not in page


def test_the_model_is_loaded_with_its_classes_and_layer(finished, labels):
    """What the card says of the test pictures is what the loaded model makes of them."""
    out, card = finished
    model, preprocess = load_model(str(out))
    assert model.classes == ("hole", "sound", "stain")
    assert preprocess is None
    assert model.preprocess.mode == "squash"
    with (out / "splits.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    maps = mmcam.explain_class(model, [row["picture"] for row in rows], method=card["method"])
    right = [exp.target == row["class"] for exp, row in zip(maps, rows, strict=True)]
    assert np.mean(right) == pytest.approx(card["scores"]["test"]["accuracy"]["value"])
    assert maps[0].layer == card["layer"]
    logits = torch.tensor([[each.score for each in sorted(exp.prediction.best, key=lambda r: r.index)] for exp in maps])
    by_hand = logits.softmax(1)
    told = torch.tensor(
        [[each.probability for each in sorted(exp.prediction.best, key=lambda r: r.index)] for exp in maps]
    )
    torch.testing.assert_close(told, by_hand, atol=1e-4, rtol=1e-3)


def test_masks_choose_layer_and_method(finished):
    card = finished[1]
    found = card["localisation"]
    best = max(found["val"], key=lambda row: (row["pointing"]["value"], row["iou"]["value"]))
    assert (card["layer"], card["method"], card["share"]) == (best["layer"], best["method"], best["share"])
    assert len({row["layer"] for row in found["val"]}) > 1
    assert {row["method"] for row in found["val"]} == {"gradcam", "gradcam++", "hirescam", "layercam"}
    assert found["test"] in found["test_all"]
    assert found["baselines"]["chance"] == pytest.approx(400 / SIDE**2, abs=1e-9)


def test_the_command_explains_with_a_run(finished, labels, tmp_path):
    picture = labels.parent / "1-0.png"
    done = CliRunner().invoke(
        app, ["explain", str(picture), "--model", str(finished[0]), "--out", str(tmp_path), "--json"]
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)[0]
    assert report["target"] in ("hole", "sound", "stain")
    assert report["layer"] == finished[1]["layer"]


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("after", [6, 18])
def test_a_killed_run_ends_at_the_same_weights(finished, labels, weights, tmp_path, monkeypatch, after):
    """Stopped amid an epoch of the first or of the second phase, it goes on to the same bits."""
    out = tmp_path / "walls"
    steps = 0
    step = fitting.Fit._step

    def counted(self, *args):
        nonlocal steps
        if steps == after:
            raise Killed
        steps += 1
        step(self, *args)

    monkeypatch.setattr(fitting.Fit, "_step", counted)
    settings = replace(QUICK, save_every=0)
    with pytest.raises(Killed):
        runs.finetune(asked(labels, weights, out), settings, silent)
    assert not (out / "walls.json").exists()
    with pytest.raises(ExplainError, match=r"There is no .*the run is not finished|no bundled model"):
        mmcam.models.load(out)
    monkeypatch.setattr(fitting.Fit, "_step", step)
    # What comes after the training is not asked here.
    monkeypatch.setattr(
        runs, "_maps", lambda *args: runs._way(runs.Localiser("backbone.layer4")) | {"localisation": None}
    )
    monkeypatch.setattr(runs, "_report", lambda *args: None)
    said = []
    card = runs.finetune(asked(labels, weights, out), settings, said.append)
    assert any(line.startswith("Going on in phase") for line in said)
    whole, own = (load_file(folder / "walls.safetensors") for folder in (finished[0], out))
    assert all(torch.equal(whole[key], own[key]) for key in whole)
    assert card["history"] == finished[1]["history"]


def test_what_was_prepared_is_not_prepared_again(labels, tmp_path, monkeypatch):
    paths = sorted(labels.parent.glob("?-0.png"))
    preprocess = Preprocess((16, 16), "squash", None, (0.5,) * 3, (0.5,) * 3)
    monkeypatch.setattr(inputs, "CHUNK", 2)
    opened = []
    load = inputs.load_image

    def counted(path):
        if len(opened) == 5:
            raise Killed
        opened.append(path)
        return load(path)

    monkeypatch.setattr(inputs, "load_image", counted)
    with pytest.raises(Killed):
        inputs.inputs_of(paths, preprocess, tmp_path / "x.npy", "key")
    opened.clear()
    monkeypatch.setattr(inputs, "load_image", lambda path: opened.append(path) or load(path))
    kept = inputs.inputs_of(paths, preprocess, tmp_path / "x.npy", "key")
    assert opened == paths[4:]  # two chunks of two were whole
    exact = torch.stack([preprocess(load(path))[0] for path in paths])
    torch.testing.assert_close(kept.of(range(len(paths))), exact, rtol=0, atol=1e-6)
    inputs.inputs_of(paths, preprocess, tmp_path / "x.npy", "another key")
    assert opened[len(paths) - 4 :] == paths


def test_varied_pictures():
    """They are moved by a turn, a mirror and a zoom: a blob stays one, and what is even stays so but for the light."""
    pixels = torch.full((64, 3, 40, 30), 120, dtype=torch.uint8)
    out = varied(pixels, stream(0, 1))
    assert (out.std((1, 2, 3)) < 1e-3).all()
    assert out.mean() == pytest.approx(120, rel=0.05)
    pixels[:, :, 8:12, 4:8] = 0
    out = varied(pixels, stream(0, 1))
    left = (out[..., :15] < 60).sum((1, 2, 3)) > 0
    assert 0.25 < left.float().mean() < 0.75  # half are mirrored
    assert ((out[:, :, :20] < 60).sum((1, 2, 3)) > 0).all()  # and none is upside down
    assert torch.equal(varied(pixels, stream(0, 2)), varied(pixels, stream(0, 2)))


def test_the_last_layers():
    network = timm.create_model("test_resnet", num_classes=0)
    layers = [module for module in network.modules() if list(module.parameters(recurse=False))]
    assert last_layers(network, 0.0) == []
    assert len({id(p) for p in last_layers(network, 1.0)}) == len(list(network.parameters()))
    half = {id(p) for p in last_layers(network, 0.5)}
    assert half == {id(p) for layer in layers[len(layers) - round(len(layers) / 2) :] for p in layer.parameters()}


def test_the_frozen_part_stays_as_it_was(finished, weights):
    """The first half of the network, and all statistics of its norms, are the published ones."""
    state, published = load_file(finished[0] / "walls.safetensors"), load_file(weights)
    network = timm.create_model("test_resnet", num_classes=0)
    learnt = {id(p) for p in last_layers(network, 0.5)}
    names = {name for name, p in network.named_parameters() if id(p) in learnt}
    for name in network.state_dict():
        same = torch.equal(state[f"backbone.{name}"], published[name])
        assert same == (name not in names), name


def test_a_finished_run_reports_anew_on_other_photographs(finished, labels, weights, tmp_path):
    out, _ = finished
    before = hashlib.sha256((out / "walls.safetensors").read_bytes()).hexdigest()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    photos = (labels.parent / "1-0.png", labels.parent / "2-0.png", broken)
    runs.finetune(asked(labels, weights, out, inspect=photos), QUICK, silent)
    page = (out / "report.html").read_text()
    assert "2 photographs were looked at" in page
    assert "Not looked at (1)" in page
    assert "broken.png" in page
    assert "in truth" not in page  # nobody has said what these show
    assert hashlib.sha256((out / "walls.safetensors").read_bytes()).hexdigest() == before
    with pytest.raises(ExplainError, match="None of the 1 photographs can be opened"):
        runs.finetune(asked(labels, weights, out, inspect=(broken,)), QUICK, silent)
    with pytest.raises(ExplainError, match="is a finished run of other pictures or settings; ask for the same"):
        runs.finetune(asked(labels, weights, out), replace(QUICK, seed=1), silent)


def test_no_masks_no_choice(labels, weights, tmp_path):
    """Folders, without masks and groups: the default layer and method, and the report says that nobody chose them."""
    for name in ("hole", "stain"):
        (tmp_path / "walls" / name).mkdir(parents=True)
    for wall in range(15):
        kind = ("sound", "hole", "stain")[wall % 3]
        if kind != "sound":
            file = f"{wall}-0.png"
            (tmp_path / "walls" / kind / file).write_bytes((labels.parent / file).read_bytes())
    (tmp_path / "walls" / "hole" / "bad.jpg").write_bytes(b"\xff\xd8 cut short")
    said = []
    few = replace(QUICK, head_epochs=1, tune_epochs=0)
    card = runs.finetune(Asked(tmp_path / "walls", tmp_path / "out", BACKBONE, weights), few, said.append)
    assert (card["method"], card["localisation"]) == ("gradcam", None)
    assert card["data"]["skipped"][0][0] == "bad.jpg"
    assert any(line.startswith("Left out bad.jpg: ") for line in said)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "nobody has measured how often" in page
    assert "bad.jpg" in page


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"backbone": "no_such_net"},
            "Neither torchvision nor timm has a network 'no_such_net'; mobilenet_v2, resnet50",
        ),
        (
            {"backbone": "resnet50", "weights": None},
            r"torchvision:resnet50 needs --weights FILE, since none are downloaded",
        ),
        (
            {"backbone": "timm:test_resnet", "weights": None},
            r"needs --weights FILE.*timm.create_model\('test_resnet', pre",
        ),
        ({"backbone": "squeezenet1_0", "weights": "squeezenet"}, "has no linear layer that gives its classes; choose"),
        ({"sound": "whole"}, "No class is called 'whole'; there are hole, sound, stain."),
        ({"device": "tpu"}, "There is no device 'tpu'; cpu or cuda would do."),
    ],
)
def test_what_will_not_do_is_a_sentence(labels, weights, tmp_path, more, sentence):
    if more.get("weights") == "squeezenet":
        import torchvision

        more = {**more, "weights": tmp_path / "squeezenet.pth"}
        torch.save(torchvision.models.squeezenet1_0(weights=None).state_dict(), more["weights"])
    with pytest.raises(ExplainError, match=sentence):
        runs.finetune(replace(asked(labels, weights, tmp_path / "run"), **more), QUICK, silent)


def test_folders_that_will_not_do(labels, weights, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ExplainError, match="is there already and holds no run; name another --out"):
        runs.finetune(asked(labels, weights, tmp_path / "mine"), QUICK, silent)
    (tmp_path / "mine" / "mine.json").write_text("{}")
    with pytest.raises(ExplainError, match="holds a model that mmcam finetune did not train"):
        runs.finetune(asked(labels, weights, tmp_path / "mine"), QUICK, silent)
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(app, ["finetune", str(tmp_path / "empty"), "--out", str(tmp_path / "x")])
    assert done.exit_code == 1
    assert "no folder for a class" in " ".join(done.stderr.split())


def test_a_broken_card_or_weights(finished, tmp_path):
    out, _ = finished
    run = tmp_path / "walls"
    run.mkdir()
    card = json.loads((out / "walls.json").read_text())
    (run / "walls.json").write_text(json.dumps(card))
    with pytest.raises(ExplainError, match="the run is not finished"):
        mmcam.models.load(run)
    (run / "walls.safetensors").write_bytes(b"other")
    with pytest.raises(ExplainError, match="is not the one its card describes"):
        mmcam.models.load(run)
    (run / "walls.safetensors").write_bytes((out / "walls.safetensors").read_bytes())
    for change in (
        {"backbone": "nowhere:net"},
        {"preprocess": {}},
        {"classes": ["a", "b"]},
        {"backbone": "timm:no_net"},
    ):
        (run / "walls.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(ExplainError):
            mmcam.models.load(run)


def test_torchvisions_networks_are_backbones(tmp_path):
    """Inception's auxiliary heads are left out, and a run of it is loaded as it was saved."""
    from mmcam.diagnosis.transfer.backbones import backbone_of
    from mmcam.models.zoos import without_weights

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = without_weights("torchvision", "inception_v3")
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    found = backbone_of("inception_v3", tmp_path / "inception.pth")
    assert found.spec == "torchvision:inception_v3"
    assert found.preprocess.size == (299, 299)
    assert found.preprocess.mode == "squash"
    with torch.no_grad():
        assert found.network(torch.zeros(1, 3, 299, 299)).shape == (1, 2048)


def test_the_bundled_weights():
    from mmcam.diagnosis.transfer.backbones import backbone_of

    found = backbone_of("tf_efficientnet_lite0", None)
    whole = mmcam.models.load("photo-classifier")
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        features = found.network(x)
        torch.testing.assert_close(whole.network.classifier(features), whole(x))
    assert found.preprocess == whole.preprocess
