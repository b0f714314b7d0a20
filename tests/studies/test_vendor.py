"""Other people's files are those that they released."""

import hashlib
import re

from mmcam.studies.page import SCRIPTS, VENDOR

RELEASED = {
    "jspsych-8.3.0.min.js": "b58c69e607f2ddbd282f2daec43d882cac18d9e3efdad816215b818d1406d6ce",
    "plugin-html-button-response-2.1.0.min.js": "d4df2ebfd7dfac1451198dcb2b3ea45ad810eda7aa24e45e6851e1b531cbf0c9",
    "plugin-instructions-2.1.0.min.js": "06dc7d2b5c0874aa19c9f023051dad5c4076d837352b19dd790c044f231a684c",
    "plugin-preload-2.1.0.min.js": "57bc73acd351c42f73069611acaff8f65fb4c1d5754af7d6f9657051ce8dee66",
}
"""Of ``dist/index.browser.min.js`` in the packages of npm."""


def test_files_are_as_released_and_the_readme_says_so():
    there = {path.name for path in VENDOR.iterdir()} - {"README.md"}
    assert there == set(SCRIPTS) == set(RELEASED)
    readme = (VENDOR / "README.md").read_text()
    rows = dict(re.findall(r"^\| (\S+\.js) \|.*`([0-9a-f]{64})` \|$", readme, re.MULTILINE))
    assert rows == RELEASED
    for name, digest in RELEASED.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert "Permission is hereby granted, free of charge" in readme


def test_no_page_asks_another_machine():
    """jsPsych's addresses are of papers and of its own manual; a script is loaded by no one of them."""
    for path in (VENDOR.parent / "page").iterdir():
        if path.suffix in (".js", ".css", ".jinja"):
            found = set(re.findall(r"https?://[\w.-]+", path.read_text()))
            assert found <= {"https://app.prolific.com", "https://www.mturk.com", "https://workersandbox.mturk.com"}, (
                path
            )
