"""The two files of a dissection: what is no tensor (JSON), and the tensors."""

from fuzz.harness import CUT, in_a_sentence, parts, workplace

from mmcam.neurons.dissection import Dissection

BASE = workplace() / "units"


def read(data: bytes) -> None:
    described, tensors = parts(data, 2)
    BASE.with_suffix(".json").write_bytes(described)
    BASE.with_suffix(".safetensors").write_bytes(tensors)
    with in_a_sentence():
        found = Dissection.load(BASE)
        assert CUT not in repr(found).encode()
        assert found.iou.shape == (found.units, len(found.concepts))
        found.detectors()
        found.known()
        found.write_tally(BASE.with_suffix(".csv"))
