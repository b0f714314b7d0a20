"""A release: wheel, sdist, checksums and a list of parts, the same bytes whoever builds them.

    python -m release.build                # into dist/
    python -m release.build --tag          # and tags the commit v0.2.0, once all the rest is done

It refuses a tree with changes, a version without its section in CHANGELOG.md, and a CITATION.cff of another version.
The time in the archives is the commit's (SOURCE_DATE_EPOCH), not the clock's. ``SHA256SUMS`` is read by ``sha256sum
--check``. ``sbom.json`` lists what is installed beside mmcam here, in CycloneDX's form; it wants the program
``cyclonedx-py`` (``pip install cyclonedx-bom``), and without it the release ends with an error.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

ROOT: Final = Path(__file__).parents[1]


def main(
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("dist"),
    tag: Annotated[bool, typer.Option("--tag", help="Tag the commit, too.")] = False,
) -> None:
    """Check, build, list; tag if asked."""
    version = version_of(ROOT)
    problems = unready(ROOT, version)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        raise typer.Exit(1)
    out.mkdir(parents=True, exist_ok=True)
    files = [build(ROOT, kind, out) for kind in ("wheel", "sdist")]
    files.append(parts(out / "sbom.json"))
    (out / "SHA256SUMS").write_text(checksums(files))
    print(checksums(files), end="")
    if tag:
        git(ROOT, "tag", "--annotate", f"v{version}", "--message", f"mmcam {version}")
        print(f"tagged v{version}; `git push origin v{version}` publishes it")


def version_of(root: Path) -> str:
    """The version in mmcam/version.py."""
    version: str
    (version,) = re.findall(r'__version__ = "(.+)"', (root / "mmcam" / "version.py").read_text(encoding="utf-8"))
    return str(version)


def unready(root: Path, version: str) -> list[str]:
    """What stands against a release, a sentence each."""
    problems = []
    if changed := git(root, "status", "--porcelain"):
        problems.append(f"The tree has changes ({changed.splitlines()[0].strip()}, …); commit them first.")
    if f"v{version}" in git(root, "tag", "--list").splitlines():
        problems.append(f"There is a tag v{version} already; raise mmcam/version.py.")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)}(?:\s|$)", changes, flags=re.MULTILINE):
        problems.append(f"CHANGELOG.md has no section {version}; give Unreleased that name and the day.")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    if not re.search(rf'^version: "?{re.escape(version)}"?$', citation, flags=re.MULTILINE):
        problems.append(f"CITATION.cff is not of version {version}; mend it, and its day.")
    return problems


def build(root: Path, kind: str, out: Path) -> Path:
    """A "wheel" or "sdist" of a checkout, with the time of its last commit in it."""
    code = f"import hatchling.build; print(hatchling.build.build_{kind}({str(out.resolve())!r}))"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": git(root, "log", "-1", "--format=%ct").strip()}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return out / done.stdout.splitlines()[-1]


def parts(file: Path) -> Path:
    """The installed packages as CycloneDX, without anything that differs from one run to the next.

    Raises:
        FileNotFoundError: cyclonedx-py is not installed.
    """
    program = shutil.which("cyclonedx-py") or shutil.which("cyclonedx-py", path=str(Path(sys.executable).parent))
    if program is None:
        raise FileNotFoundError("cyclonedx-py is not there; pip install cyclonedx-bom.")
    subprocess.run(
        [program, "environment", sys.executable, "--output-reproducible", "--of", "JSON", "--output-file", str(file)],
        check=True,
    )
    return file


def checksums(files: list[Path]) -> str:
    """Lines as sha256sum writes and checks them."""
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def git(root: Path, *arguments: str) -> str:
    """What git prints, in a checkout."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    typer.run(main)
