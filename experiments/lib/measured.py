"""Figures looked up in the tables of `experiments/results`, as they are printed beside published ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import typer

from experiments.lib.tables import signed, with_error

RESULTS: Final = Path("experiments/results")
PHOTO_NETWORKS: Final = ("MobileNetV2", "SqueezeNet 1.0", "EfficientNet-Lite0", "EfficientNet-Lite2")


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a table."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise typer.BadParameter(f"{path} is missing; run the experiment that writes it first (experiments/README.md).")
    found: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return found


def cell(table: str, key: str, scale: float = 100, digits: int = 1, **where: Any) -> str:
    """A figure, with its standard error or its interval where it has one.

    Args:
        table: its name.
        key: of the figure, dotted within nested ones.
        scale, digits: how it is printed.
        where: fields that its row has, and no other one.
    """
    own = [row for row in rows(table) if all(row.get(field) == value for field, value in where.items())]
    if len(own) != 1:
        raise KeyError(f"{table} has {len(own)} rows with {where}")
    value: Any = own[0]
    for part in key.split("."):
        beside = value
        value = value[part]
    if not isinstance(value, dict):  # the error lies beside the figure, under one of these names
        errors = (beside.get(name) for name in (f"{key} s.e.", f"{key}_se", "standard_error"))
        value = {"value": value, "standard_error": next((error for error in errors if error is not None), None)}
    return with_error(value, scale, digits, bounds=0)


def listed(name: str, key: str, methods: Sequence[str], **how: Any) -> str:
    """A figure of several methods, named."""
    where = {field: how.pop(field) for field in list(how) if field not in ("scale", "digits")}
    return ", ".join(f"{method} {cell(name, key, **how, method=method, **where)}" for method in methods)


def photo_networks(name: str) -> list[str]:
    """The networks for photographs that a table has figures of."""
    return [network for network in PHOTO_NETWORKS if any(row.get("network") == network for row in rows(name))]


def of_networks(name: str, key: str, methods: Sequence[str]) -> str:
    """The same of each network."""
    return "; ".join(f"{network}: {listed(name, key, methods, network=network)}" for network in photo_networks(name))


def named(model: str) -> str:
    """How often a name in a text is in the picture, of all units and as texts are made by default."""
    return cell(
        "neuron-text", "for_in_picture", model=model, units="all", by="contribution", quantile=0.005, threshold=0.04
    )


def pointed(network: str, pictures: str) -> str:
    """How often the map of the true class points at the thing, of pictures that are classified so."""
    return cell("failure-modes-real", "true points", network=network, pictures=pictures, method="gradcam")


def before_after(name: str, network: str) -> str:
    """Grad-CAM's pointing before and after."""
    before, after = (cell(name, key, network=network, method="gradcam") for key in ("before", "after"))
    return f"gradcam {before} → {after}"


def rated(name: str) -> str:
    """What simulated raters say of two models, by guided visualisations."""
    own = {row["method"]: row["rating"] for row in rows(name)}
    return ", ".join(f"{method} {signed(own[method])}" for method in ("guided_gradcam", "guided_backprop"))


def studied(kind: str) -> str:
    """What simulated raters answered in a study of a kind, method by method."""
    told = signed if kind == "trust" else percent
    known = [one for one in rows("human-studies") if one["study"] == kind]
    return ", ".join(f"{one['method']} {told(one['figure'])}" for one in known)


def percent(figure: Any) -> str:
    """A share in percent, with its interval."""
    return with_error(figure, 100, bounds=0)


def fell_on_it(model: str, right: bool) -> str:
    """How often the map of a right or wrong answer has its maximum on what the question is about."""
    return cell("wrong-test-gradcam", "meant", model=model, category="all but scenes", right=right)


def ablated(name: str, network: str) -> str:
    """The differences of the paper's ablations."""
    own = ("no ReLU", "absolute gradients", "global max pooling", "deconvnet ReLUs", "guided ReLUs")
    return ", ".join(f"{row} {cell(name, 'difference', 1, name=row, network=network)}" for row in own)


def dropped(name: str) -> str:
    """Drop and increase of both methods, and the win of the second over the first."""
    found = []
    for method in ("gradcam", "gradcam++"):
        figures = [cell(name, key, 1, method=method) for key in ("drop", "increase")]
        found.append(f"{method} {' / '.join(figures)}")
    return "; ".join(found) + f" / {cell(name, 'win', 1, method='gradcam++')}"


def of_backbones(table: str, *keys: str) -> str:
    """Figures of each finetuned network, named."""
    names = [row["backbone"] for row in rows(table)]
    told = {name: ", ".join(cell(table, key, backbone=name) for key in keys) for name in names}
    return "; ".join(f"{name.partition(':')[2]}: {figures}" for name, figures in told.items())
