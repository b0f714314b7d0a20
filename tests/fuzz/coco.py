"""COCO's instances and captions, as concepts with masks and as the pictures of a job."""

import numpy as np
from fuzz.harness import in_a_sentence, picture, workplace

from mmcam.datasets.concepts.coco import CocoConcepts
from mmcam.jobs.sources import read_source

ROOT = workplace()
FILE = ROOT / "instances.json"
picture(ROOT / "a.jpg")


def read(data: bytes) -> None:
    FILE.write_bytes(data)
    with in_a_sentence():
        assert read_source(f"coco:{FILE}:{ROOT}").digest
    with in_a_sentence():
        concepts = CocoConcepts(FILE, ROOT)
        for index in range(min(len(concepts), 3)):
            with in_a_sentence():
                concepts.picture(index)
            with in_a_sentence():
                maps = concepts.labels(index)
                assert all(np.max(labels) <= len(concepts.concepts) for labels in maps)
