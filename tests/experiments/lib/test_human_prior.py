"""Where people look without the picture, and maps brought to cells."""

import numpy as np

from experiments.lib.human_prior import HumanPrior, cells


def test_people_are_asked_about_other_pictures_questions_that_begin_alike(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    one, two, three, four = (np.full((14, 14), value, np.float32) for value in (1, 2, 3, 4))
    prior = HumanPrior(
        [(a, "What is this?", one), (a, "what is that", two), (b, "What is here", three), (c, "How many", four)]
    )
    assert prior(b, "what  IS it")[0][0, 0] == 1.5  # both of a, not its own
    assert prior(a, "What is this?")[0][0, 0] == 3
    assert not prior(a, "What is this?")[1]
    grid, fell_back = prior(c, "How many")  # no other one begins so
    assert (grid[0, 0], fell_back) == (2, True)
    assert HumanPrior([(a, "What is this?", one)])(a, "What is this?") == (None, True)


def test_cells_are_averages_of_areas():
    values = np.random.default_rng(0).random((2, 28, 42))
    np.testing.assert_allclose(cells(values), values.reshape(2, 14, 2, 14, 3).mean((2, 4)), rtol=1e-6)
    np.testing.assert_array_equal(cells(values[:, :14, :14]), values[:, :14, :14].astype(np.float32))
