"""How wide a beam search has to be: shares that are known because the searches are made up."""

import json

import pytest
import typer
from PIL import Image

import mmcam
from experiments.words import beam_widths

WHITE, BLACK = (Image.new("RGB", (8, 8), colour) for colour in ("white", "black"))


class Planted:
    """Its best captions are [1], [2], [3] …; of a black picture a search finds the third only from width 16 on."""

    def preprocess(self, image):
        from torchvision.transforms.functional import to_tensor

        return to_tensor(image), None

    def see(self, x):
        return x

    look = see

    def search(self, x, width, listed):
        black = float(x.max()) == 0
        found = [number for number in range(1, 100) if not (black and number == 3 and width < 16)]
        return [[([number], -float(number)) for number in found[:listed]]]


def test_the_share_of_pictures_whose_best_captions_are_found(monkeypatch):
    monkeypatch.setattr(mmcam.models, "load", lambda name: Planted())
    one, three, five = beam_widths.rows_of("it", "planted", [WHITE, BLACK])
    assert (one["n"], three["n"], five["n"]) == (1, 3, 5)
    assert [one[search] for search in beam_widths.SEARCHES] == [1, 1, 1, 1]
    for row in (three, five):
        assert [row[search] for search in beam_widths.SEARCHES] == [0.5, 0.5, 1, 1]


def test_the_table(monkeypatch, tmp_path):
    monkeypatch.setattr(mmcam.models, "load", lambda name: Planted())
    beam_widths.main(folders=None, pictures=2, root=None, out=tmp_path)
    assert len(json.loads((tmp_path / "beam-widths.json").read_text())["rows"]) == 9
    assert "| vignette-captioner, test vignettes | 3 | 100.0 ± 0.0 |" in (tmp_path / "beam-widths.md").read_text()


def test_captioners_of_photographs_need_photographs():
    with pytest.raises(typer.BadParameter, match="MMCAM_REAL_DATA"):
        beam_widths.main(folders=["it"], pictures=1, root=None)
