"""Which of the long tests run unless all are asked for."""

from tests.conftest import in_tenth


def test_a_tenth_of_many_and_always_the_same():
    names = [f"tests/places/test_zoos.py::test_the_layer_found[network {i}]" for i in range(2000)]
    chosen = [name for name in names if in_tenth(name)]
    assert 150 < len(chosen) < 250
    assert chosen == [name for name in reversed(names) if in_tenth(name)][::-1]
    assert in_tenth("tests/test_selection.py::test[0]") is False
    assert in_tenth("tests/test_selection.py::test[12]") is True
