"""The tour, as `make demo` gives it."""

import pytest
from PIL import Image
from typer.testing import CliRunner

from mmcam.cli import app


@pytest.mark.parametrize("seed", [20_000_123, 30_000_005])
def test_demo_explains_by_all_three_models(tmp_path, seed):
    result = CliRunner().invoke(app, ["demo", "--seed", str(seed), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for name in ("picture", "class", "caption", "answer", "why"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width >= 224
    assert "mmcam explain" in result.output
    assert "Why, in words" in result.output
    assert "because it sees" in result.output


def test_a_seed_of_no_split_is_one_sentence(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--seed", "99000000", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "belongs to no split" in result.output
    assert not any(tmp_path.iterdir())
