import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcam.app import shown
from mmcam.app.asking import answer
from mmcam.app.desk import Desk
from mmcam.app.settings import Settings
from mmcam.models import dissection
from mmcam.report import maps

SCENE = "vignette-20000123"


@pytest.fixture
def answered(studio, session):
    return answer(studio, session, Settings("caption", SCENE), session.picture(SCENE, None))


def test_all_is_ready_for_json_and_small(answered):
    told = shown.shown(answered, "me")
    assert len(json.dumps(told)) < 60_000
    assert [item["label"] for item in told["items"]][-1] == "whole caption"
    assert " ".join(item["label"] for item in told["items"][:-1]) == answered.panels[0].said.caption
    assert len(told["panels"][0]["maps"]) == len(told["items"])


def test_a_sentence_is_cut_where_it_names_units():
    sentence = (
        "It says “dog 7” because it sees ear (unit 41, IoU .31) and fur (units 3, 17 and 205, IoU .2); despite x."
    )
    cut = shown.pieces(sentence)
    assert "".join(piece["text"] for piece in cut) == sentence
    assert [piece["unit"] for piece in cut if "unit" in piece] == [41, 3, 17, 205]


def test_the_sentence_is_that_of_why_and_its_units_have_their_maps(answered):
    told = shown.why(answered, 0, answered.held)
    exp = answered.panels[0].items[answered.held]
    assert "".join(piece["text"] for piece in told["pieces"]) == str(exp.why(answered.model.units))
    named = {int(unit) for unit in re.findall(r"\b\d+\b", " ".join(p["text"] for p in told["pieces"] if "unit" in p))}
    assert named <= {one["unit"] for one in told["units"]}
    one = told["units"][0]
    levels = np.frombuffer(base64.b64decode(one["map"]["cells"]), np.uint8).reshape(one["map"]["shape"])
    own = exp.activations[one["unit"]].clamp(min=0)
    torch.testing.assert_close(
        torch.from_numpy(levels / 255.0 * one["map"]["top"]).float(), own, rtol=0, atol=float(own.max()) / 400
    )


def test_exemplars_are_the_dissections_own_pictures():
    units = dissection("vignette-captioner")
    unit = next(iter(units.names().units))
    found = shown.exemplars(units, unit)
    assert found["unit"] == unit
    assert len(found["pictures"]) == 6
    assert all(picture.startswith("data:image/webp;base64,") for picture in found["pictures"])
    assert "do not ship" in shown.exemplars(dissection("photo-captioner"), 3)["told"]


def test_what_is_not_kept_or_no_number_is_one_sentence(studio):
    desk = Desk(studio)
    assert desk.why({"visitor": "nobody", "key": "x", "panel": 0, "item": 0}) == {
        "error": "This is not kept any more; ask again."
    }
    for asked in (None, {}, {"visitor": {}, "key": []}, "…", {"visitor": "start", "key": "k", "unit": "1; drop"}):
        assert set(desk.exemplars(asked)) == {"error"}


def test_maps_that_are_worked_out_together_are_what_each_is_alone(answered):
    size = answered.picture.small[0]
    items = answered.panels[0].items
    assert len(items) > 2
    for exp, seen in zip(items, maps.seen_together(items, size), strict=True):
        assert torch.equal(seen, exp.geometry.resized(size[1], size[0]).to_original(exp.values))
        assert maps.drawn(exp, size, seen) == maps.drawn(exp, size)
    other = items[0].geometry.resized(30, 40)
    two = [items[0], replace(items[1], geometry=other), replace(items[2], values=items[2].values[:5, :7])]
    for exp, seen in zip(two, maps.seen_together(two, (50, 60)), strict=True):
        assert torch.equal(seen, exp.geometry.resized(60, 50).to_original(exp.values))
