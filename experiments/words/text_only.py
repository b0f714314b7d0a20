"""What do captions score that have not seen the picture? The text prior beside every caption score.

Three speakers without eyes or with the best ones: the caption people write most often in training, said of every
picture; a person's caption of another picture, fluent and wrong; and a person's caption of this very picture, compared
with the other four. Beside them the bundled captioners, whose scores mean something where they lie above the first two.
(The same of answers, the question alone, stands in the models' own tables.) Records go into runs/text_only.

    python -m experiments.words.text_only
    MMCAM_REAL_DATA=… python -m experiments.words.text_only       # Flickr8k's test split, too
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import track

import models
from experiments.lib.caption_scores import BLEU, RESAMPLES, SEED, Words, scores
from experiments.lib.judging import KINDS
from experiments.lib.records import add, checksum, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import captioned, vignettes
from mmcam.datasets.vignettes.truth import Truth
from models.speaker import split_words

TRAINING: Final = 5000  # vignettes whose captions are counted


@dataclass(frozen=True)
class Pictures:
    """The five captions of each test picture, the commonest caption of training, and, of vignettes, what is true."""

    name: str
    captions: Sequence[Sequence[Words]]
    commonest: Words
    truths: Sequence[Truth] | None = None


def main(
    pictures: Annotated[int, typer.Option(min=2, help="The first of each split.")] = 500,
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Holds flickr8k/.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/text_only"),
) -> None:
    """Write text-only.json and .md."""
    rows: list[dict[str, Any]] = []
    for split in ("test", "heldout"):
        of = drawn(split, pictures)
        rows += rows_of(of)
        for name in KINDS["caption"]:
            said = [text.split() for text in spoken(name, split, pictures, work)]
            rows.append({"set": of.name, "said": name, "pictures": pictures, **scores(said, of.captions, of.truths)})
    if root is not None:
        rows += rows_of(photographed(root / "flickr8k", pictures))
    command = f"python -m experiments.words.text_only --pictures {pictures}"
    if root is not None:
        command = f"MMCAM_REAL_DATA=… {command}"
    head = ("captions of", "said", "n", *BLEU, "CIDEr-D ± s.e.", "true content words % ± s.e.")
    cells = []
    for row in rows:
        figures = [*(with_error(row[name], 100, 1) for name in BLEU), with_error(row["CIDEr-D"], 1, 3)]
        true = with_error(row["true words"], 100, 1) if "true words" in row else ""
        cells.append([row["set"], row["said"], str(row["pictures"]), *figures, true])
    below = [
        "",
        f"The commonest caption is that of {TRAINING} training vignettes, or of Flickr8k's training photographs. A "
        "person's caption is the first of the five; of the same picture it is compared with the other four, so its "
        "scores lie a little lower than with five. The models have seen the pictures; their scores on 3,000 of each "
        f"split stand in [models.md](models.md). In brackets 95 % intervals from {RESAMPLES} resamplings of the "
        f"pictures, seed {SEED}.",
    ]
    report = {**stamp(command, pictures=pictures, seed=SEED), "rows": rows}
    show(out / "text-only", report, head, cells, [f"`{command}`"], below)


def drawn(split: str, count: int) -> Pictures:
    """Vignettes of a split."""
    truths = [vignettes.describe(vignettes.seed(split, i)) for i in track(range(count), f"captions of {split}")]
    written: Counter[str] = Counter()
    for i in track(range(TRAINING), "captions of train"):
        truth = vignettes.describe(vignettes.seed("train", i))
        written.update(caption.text for caption in vignettes.captions.write(truth))
    captions = [[caption.text.split() for caption in vignettes.captions.write(truth)] for truth in truths]
    return Pictures(f"vignettes, {split}", captions, written.most_common(1)[0][0].split(), truths)


def photographed(folder: Path, count: int) -> Pictures:
    """Flickr8k's test photographs."""
    splits = captioned.flickr8k(folder)
    written = Counter(" ".join(split_words(text)) for item in splits["train"] for text in item.captions)
    captions = [[split_words(text) for text in item.captions] for item in splits["test"][:count]]
    return Pictures("Flickr8k, test", captions, written.most_common(1)[0][0].split())


def rows_of(of: Pictures) -> Iterator[dict[str, Any]]:
    """The three speakers' scores."""
    own = [caption[0] for caption in of.captions]
    others = [caption[1:] for caption in of.captions]
    shifted = own[1:] + own[:1]
    for name, said, references in (
        (f"the commonest caption, “{' '.join(of.commonest)}”", [of.commonest] * len(own), of.captions),
        ("a person's caption of another picture", shifted, of.captions),
        ("a person's caption of this picture", own, others),
    ):
        yield {"set": of.name, "said": name, "pictures": len(own), **scores(said, references, of.truths)}


def spoken(name: str, split: str, count: int, work: Path) -> list[str]:
    """A bundled captioner's captions of the first vignettes of a split, made or read."""
    model: Any = models.load(name)
    path = work / f"{name}-{checksum(model)}-{split}.jsonl"
    said = {record["picture"]: record["said"] for record in read(path)}
    for i in track([i for i in range(count) if i not in said], f"{name}, {split}"):
        x, _ = model.preprocess(vignettes.draw(vignettes.seed(split, i)).image)
        said[i] = model.spell(model.generate(x[None])[0])
        add(path, [{"picture": i, "said": said[i]}])
    return [said[i] for i in range(count)]


if __name__ == "__main__":
    typer.run(main)
