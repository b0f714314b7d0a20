"""A run from labelled pictures to a model and its report, in stages; one that was killed goes on where it was."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mmcam.diagnosis.labelled import read_labelled, readable
from mmcam.diagnosis.transfer.backbones import Backbone, backbone_of
from mmcam.diagnosis.transfer.calibration import calibration_error, sure_from, temperature_of
from mmcam.diagnosis.transfer.examples import Examples, examples_of
from mmcam.diagnosis.transfer.findings import Photo, findings_of
from mmcam.diagnosis.transfer.inputs import Inputs, inputs_of
from mmcam.diagnosis.transfer.localised import Localiser, baselines, chosen, layers_of, masked, measured, shares_of
from mmcam.diagnosis.transfer.measured import scores
from mmcam.diagnosis.transfer.page import write_page
from mmcam.diagnosis.transfer.pdf import write_pdf
from mmcam.diagnosis.transfer.phases import logits_of, train
from mmcam.diagnosis.transfer.report import report_of
from mmcam.diagnosis.transfer.settings import Settings
from mmcam.diagnosis.transfer.splits import Split, split_of, write_splits
from mmcam.errors import ExplainError
from mmcam.files import is_file, is_folder, json_text, read_json, write_all, write_whole
from mmcam.models import load
from mmcam.models.finetuned import Finetuned, card_of
from mmcam.models.packages import check_device
from mmcam.version import __version__

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        source: labelled pictures, as `mmcam.diagnosis.labelled.read_labelled` takes them.
        out: the run's folder.
        backbone: the network, see `mmcam.diagnosis.transfer.backbones`.
        weights: of it.
        sound: the class of pictures without a defect, if there is one.
        inspect: photographs to report on; none: the run's test pictures.
        device: that computes.
        command: as it was typed, for the report.
    """

    source: Path
    out: Path
    backbone: str = "tf_efficientnet_lite0"
    weights: Path | None = None
    sound: str | None = None
    inspect: tuple[Path, ...] = ()
    device: str = "cpu"
    command: str = "mmcam finetune"


def finetune(asked: Asked, settings: Settings | None = None, say: Say = print) -> dict[str, Any]:
    """Finetune a network on labelled pictures, measure it, and write its report.

    In the run's folder are then FOLDER.json, the card, with all figures; FOLDER.safetensors, the weights;
    ``splits.csv``, which picture was for what; ``report.html`` and ``report.pdf``. ``mmcam.models.load(folder)`` gives
    the model. Called again with the same arguments, a run that was stopped goes on, and one that is finished reports
    anew.

    Args:
        asked: what.
        settings: the numbers; default `Settings`.
        say: is told, in a line each, how it goes.

    Returns:
        The card.

    Raises:
        ExplainError: the pictures, the network, the folder or the device will not do; one sentence each.
        PictureError: a mask that cannot be read.
    """
    settings = Settings() if settings is None else settings
    check_device(asked.device)
    card_file = asked.out / f"{asked.out.name}.json"
    if is_file(card_file):
        _check_same(asked, settings, read_json(card_file))
    else:
        _train(asked, settings, say)
    card: dict[str, Any] = read_json(card_file)
    _report(asked, card, say)
    shutil.rmtree(asked.out / "work", ignore_errors=True)
    return card


def _train(asked: Asked, settings: Settings, say: Say) -> None:
    """The stages up to the card and the weights."""
    data = readable(read_labelled(asked.source))
    for path, why in data.skipped:
        say(f"Left out {path.name}: {why}")
    examples = examples_of(data)
    if asked.sound is not None and asked.sound not in examples.classes:
        raise ExplainError(f"No class is called {asked.sound!r}; there are {', '.join(examples.classes)}.")
    split = split_of(examples, settings.seed)
    backbone = backbone_of(asked.backbone, asked.weights)
    key = _key(asked, settings, examples, backbone)
    work = _begun(asked.out, key)
    write_splits(asked.out / "splits.csv", examples, split)
    say(
        f"{len(examples.pictures)} pictures of {len(examples.classes)} classes: "
        + ", ".join(f"{len(rows)} {name}" for name, rows in split.parts.items())
    )
    inputs = inputs_of([each.path for each in examples.pictures], backbone.preprocess, work / "inputs.npy", key)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of the head's first weights
        model = Finetuned(backbone.network, examples.classes, backbone.preprocess).to(asked.device)
    labels = torch.tensor(examples.labels)
    history = train(model, inputs, labels, split, settings, work, key, say)
    card = {
        "name": asked.out.name,
        **card_of(backbone.spec, examples.classes, backbone.preprocess),
        "weights": backbone.weights,
        "sound": asked.sound,
        "command": asked.command,
        "settings": _told(settings),
        "data": {
            "source": str(asked.source),
            "grouped": examples.grouped,
            "parts": {name: len(rows) for name, rows in split.parts.items()},
            "classes": {
                name: dict(Counter(examples.classes[examples.labels[row]] for row in rows))
                for name, rows in split.parts.items()
            },
            "skipped": [[path.name, why] for path, why in data.skipped],
        },
        "history": history,
        **_judged(model, inputs, labels, split, examples, settings.seed),
        "version": __version__,
    }
    card |= _maps(model, examples, split, say)
    _publish(model, card, asked.out)


def _judged(
    model: Finetuned, inputs: Inputs, labels: Tensor, split: Split, examples: Examples, seed: int
) -> dict[str, Any]:
    """Calibrate the model on the validation pictures, and measure it on both."""
    val, test = (logits_of(model, inputs, rows) for rows in (split.val, split.test))
    temperature = temperature_of(val, labels[split.val])
    model.temperature.fill_(temperature)

    def figures(logits: Tensor, rows: Any) -> dict[str, Any]:
        likely = (logits.double() / temperature).softmax(1).numpy()
        groups = [examples.groups[row] for row in rows]
        return scores(likely, labels[rows].numpy(), groups, examples.classes, seed)

    raw = test.double().softmax(1).numpy()
    sure = sure_from((val.double() / temperature).softmax(1).numpy(), labels[split.val].numpy())
    return {
        "temperature": temperature,
        "uncalibrated_error": calibration_error(raw, labels[split.test].numpy()),
        "sure_from": sure,
        "scores": {"val": figures(val, split.val), "test": figures(test, split.test)},
    }


def _maps(model: Finetuned, examples: Examples, split: Split, say: Say) -> dict[str, Any]:
    """How maps are made: chosen where masks of validation pictures allow it, and then measured on the test's."""
    layers = layers_of(model, examples.pictures[0])
    val, test = (masked([examples.pictures[row] for row in rows]) for rows in (split.val, split.test))
    if not val:
        way = Localiser(layers[0])
        say(f"No masks: maps by {way.method} at {way.layer}, the default.")
        return {**_way(way), "localisation": None}
    rows = measured(model, val, layers)
    way = chosen(rows, len(val))
    say(f"Maps by {way.method} at {way.layer}: {100 * rows[0]['pointing']['value']:.0f} % of {len(val)} point at it.")
    shares = shares_of(rows)
    every = measured(model, test, list(dict.fromkeys(layer for layer, _ in shares)), shares) if test else []
    own = next((row for row in every if (row["layer"], row["method"]) == (way.layer, way.method)), None)
    found = {"val": rows, "test_all": every, "test": own, "baselines": baselines(test)} if own else None
    return {**_way(way), "localisation": found}


def _way(way: Localiser) -> dict[str, Any]:
    return {"layer": way.layer, "method": way.method, "share": way.share, "chosen_by": way.chosen}


def _publish(model: Finetuned, card: dict[str, Any], out: Path) -> None:
    """Write weights and card, both or neither."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    content = safetensors.torch.save(state)
    card["sha256"] = hashlib.sha256(content).hexdigest()
    text = json_text(card, indent=1).encode()
    # The card last: a run is finished when it has one.
    write_all(
        {
            out / f"{out.name}.safetensors": lambda file: file.write(content),
            out / f"{out.name}.json": lambda file: file.write(text),
        }
    )


def _report(asked: Asked, card: dict[str, Any], say: Say) -> None:
    """Look at the photographs, and write the report."""
    model = load(asked.out, device=asked.device)
    photos = [Photo(path) for path in asked.inspect] or _test_photos(asked.out)
    way = Localiser(card["layer"], card["method"], card["share"], card["chosen_by"])
    findings, bad = findings_of(model, photos, way, card["sure_from"], card["sound"])
    if not findings:
        raise ExplainError(f"None of the {len(photos)} photographs can be opened: {bad[0][1]}")
    skipped = bad if asked.inspect else [*((Path(name), why) for name, why in card["data"]["skipped"]), *bad]
    report = report_of(
        findings, skipped, {**card, "command": asked.command}, f"What was found: {asked.out.name}", _today()
    )
    for path in (write_page(asked.out / "report.html", report), write_pdf(asked.out / "report.pdf", report)):
        say(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _test_photos(out: Path) -> list[Photo]:
    with (out / "splits.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    return [Photo(Path(row["picture"]), row["class"], row["group"]) for row in rows]


def _today() -> str:
    now = date.today()
    return f"{now.day} {now:%B %Y}"


def _told(settings: Settings) -> dict[str, Any]:
    """The numbers that a result depends on."""
    return {name: value for name, value in asdict(settings).items() if name != "save_every"}


def _key(asked: Asked, settings: Settings, examples: Examples, backbone: Backbone) -> str:
    """What a run depends on, as one number."""
    files = []
    for picture in examples.pictures:
        stat = picture.path.stat()
        files.append([str(picture.path), picture.labels[0], picture.group, stat.st_size, stat.st_mtime_ns])
    weights = "" if asked.weights is None else hashlib.sha256(asked.weights.read_bytes()).hexdigest()
    whole = [backbone.spec, weights, asked.sound, _told(settings), files]
    return hashlib.sha256(json.dumps(whole).encode("utf-8", "backslashreplace")).hexdigest()


def _begun(out: Path, key: str) -> Path:
    """The folder of what is kept meanwhile.

    Raises:
        ExplainError: the run's folder holds something else, or a run of other pictures or numbers.
    """
    note = out / "work" / "begun.json"
    if is_file(note):
        if read_json(note) != key:
            raise ExplainError(
                f"{out} holds the beginning of a run with other pictures or settings; ask for the same, name another "
                "--out, or remove it."
            )
    elif is_folder(out) and any(out.iterdir()):
        raise ExplainError(f"{out} is there already and holds no run; name another --out, or remove it.")
    text = json.dumps(key).encode()
    write_whole(note, lambda file: file.write(text))
    return note.parent


def _check_same(asked: Asked, settings: Settings, card: Any) -> None:
    """Raise ExplainError if a finished run is another than the one that is asked for."""
    if not isinstance(card, dict) or "settings" not in card:
        raise ExplainError(f"{asked.out} holds a model that mmcam finetune did not train; name another --out.")
    same = (
        card["settings"] == _told(settings)
        and card["data"]["source"] == str(asked.source)
        and card["sound"] == asked.sound
        and card["backbone"].endswith(asked.backbone.rpartition(":")[2])
        and (asked.weights is None or card["weights"] == asked.weights.name)
    )
    if not same:
        raise ExplainError(
            f"{asked.out} is a finished run of other pictures or settings; ask for the same to report anew, name "
            "another --out, or remove it."
        )
