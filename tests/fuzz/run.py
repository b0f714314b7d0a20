"""Coverage-guided fuzzing of one reader, with atheris (``pip install 'mmcam[fuzz]'``; Linux).

    PYTHONPATH=.:editable:tests python -m fuzz.run pictures --seconds 600

Each reader is a module of this folder, whose `read` takes any bytes and may do two things: return, or raise what is no
sentence of ours (`fuzz.harness.in_a_sentence`), which is a find. Seeds lie in ``corpus/``; inputs that reach something
new are kept in ``out/fuzz/``, and the next run begins with them; a find lies there as ``crash-…``, and belongs into
``corpus/`` once it is mended, where `test_corpus` reads it ever after.
"""

import argparse
import importlib
import sys
from pathlib import Path

import atheris
from fuzz.mutation import mutated

FOLDER = Path(__file__).parent
OURS = ["mmcam", "models", "mmcam_models"]
ALSO = {"pictures": ["PIL"]}
"""Whose branches count, besides ours: where most of a reader is someone else's Python."""


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Every second time as JSON, where it holds any, otherwise byte by byte."""
    other = mutated(data, seed) if seed % 2 else None
    return other if other is not None and len(other) <= max_size else atheris.Mutate(data, max_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=sorted(folder.name for folder in (FOLDER / "corpus").iterdir()))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    import torch  # before it is watched: its branches are not ours, and there are many

    torch.set_num_threads(1)
    with atheris.instrument_imports(include=OURS + ALSO.get(asked.reader, [])):
        read = importlib.import_module(f"fuzz.{asked.reader}").read
    kept = Path("out/fuzz") / asked.reader
    kept.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": asked.seconds,
        "seed": asked.seed,
        "rss_limit_mb": 6000,
        "timeout": 60,  # seconds of one input
        "max_len": 20_000,
        "len_control": 0,  # long from the start: seeds are files
        "artifact_prefix": f"{kept}-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(kept),
                   str(FOLDER / "corpus" / asked.reader)], read, custom_mutator=mutate)  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
