"""The documentation site: `make docs` builds it into site/, strictly and without a network.

The repository is the source folder, so that a link of a page is the same on the site and where its file is read. Which
of its files are pages stands in `include_patterns`; what is drawn up at build time, in `site/pages.py`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "editable"), str(Path(__file__).parent / "site")]

from mmcam.version import __version__  # noqa: E402

project = "mmcam"
author = "mmcam contributors"
project_copyright = "mmcam contributors, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "pages"]
root_doc = "docs/index"
include_patterns = [
    *("docs/**.md", "experiments/README.md", "experiments/notebooks/README.md", "experiments/results/*.md"),
    *("data/README.md", "deploy/README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
]
# Folders that hold no pages are not looked through.
exclude_patterns = [".*", "site", "out", "runs", "build", "dist", "mmcam", "models", "tests", "editable"]

# A heading is linked to by its words, as on GitHub; a link or an anchor that leads nowhere is a warning, so an error.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence"]
nitpicky = True
# Of types only those of the public face have a page: others' are not asked for, as nothing is fetched at build time.
nitpick_ignore_regex = [(r"py:.*", r".*")]
default_role = "py:obj"  # `explain_class` in a docstring leads to it, and other words are code

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"  # a signature in one line or two, types beside what each argument is
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # attributes stand in the class's docstring once
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
add_module_names = False

html_theme = "furo"
html_title = f"mmcam {__version__}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
templates_path = ["site/templates"]
html_additional_pages = {"index": "to-start.html"}  # the site's own address leads to its first page
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
