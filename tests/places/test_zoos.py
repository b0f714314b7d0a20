"""The layer found in the small networks of torchvision and timm is the one that the committed sweep judged right."""

import json
from pathlib import Path

import pytest
import timm
import torchvision

from experiments.checks import layer_sweep

TABLE = Path(__file__).parents[2] / "experiments/results/layer-sweep.json"
SECONDS = 3  # of a network when the table was made; all of those together take a few minutes, all 330 half an hour
KNOWN = {f"torchvision: {name}" for name in torchvision.models.list_models(module=torchvision.models)}
KNOWN |= {f"timm: {name}" for name in timm.list_models()}
ROWS = [row for row in json.loads(TABLE.read_text())["rows"] if row["verdict"] == "right" and row["seconds"] < SECONDS]


def test_the_table_has_networks_of_both_libraries():
    models = [row["model"] for row in ROWS]
    assert sum(model in KNOWN for model in models) > 200
    assert {model.partition(": ")[0] for model in models} == {"torchvision", "timm"}


@pytest.mark.long
@pytest.mark.parametrize("row", [row for row in ROWS if row["model"] in KNOWN], ids=lambda row: row["model"])
def test_the_layer_found_is_the_one_of_the_table(row):
    judged = layer_sweep.judged(row["model"], limit=600)
    assert (judged.verdict, judged.note) == ("right", "")
    assert (judged.layer, judged.form, list(judged.map)) == (row["layer"], row["form"], row["map"])
