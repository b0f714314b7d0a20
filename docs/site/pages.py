"""What the site draws up itself when it is built: tables of results, of families, of photographs; none is copied.

Three directives, each of which writes Markdown that is read as the page around it is:

* ``{results}`` lists the tables of `experiments/results` whose names match its patterns and none before on the page;
* ``{families}`` lists what is explained of transformers (``adapters``, ``languages``) and what is not (``refused``), or
  the models that ship (``models``);
* ``{gallery}`` shows a photograph with whose it is.
"""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
PHOTOGRAPHS = ROOT / "mmcam" / "datasets" / "photographs"


def table(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def about(name):
    """What `experiments/README.md` says of a table, in its command's row or that of the paper's section."""
    for line in (ROOT / "experiments" / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and f"(results/{name}.md)" in line:
            cell = line.split(" | ")[1]
            cell = re.sub(r"^(\[[^\]]*\]\([^)]*\)(, )?)+: ", "", cell)  # the links to the row's tables stand before it,
            cell = re.sub(r" \(\[.*\)$", "", cell)  # or behind it
            return re.sub(r"\]\((?!http)", "](/experiments/", cell)
    return ""


def row_of_result(name):
    """Name, subject (else its command) and how many pictures, as the table's own JSON says."""
    report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    pictures = report.get("pictures")
    command = re.search(r"experiments\.[\w.]+", json.dumps(report["command"]))
    subject = about(name) or f"`python -m {command[0]}`"
    data = f"[JSON](/experiments/results/{name}.json)"
    return [f"[{name}](/experiments/results/{name}.md)", subject, f"{pictures:,}" if pictures else "", data]


class Drawn(SphinxDirective):
    """A directive whose Markdown is read in the place where it stands."""

    has_content = True
    optional_arguments = 1

    def run(self):
        """The nodes of what `text` gives."""
        for path in (Path(__file__), *self.sources()):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(self.text())


class Results(Drawn):
    """A table of tables: those whose names match the patterns in the directive's lines."""

    def sources(self):
        """Files that the page is made of."""
        return [ROOT / "experiments" / "README.md", *RESULTS.glob("*.json")]

    def text(self):
        """The rows of all patterns, in their order."""
        listed = self.env.temp_data.setdefault("results listed", set())
        names = []
        for pattern in self.content:
            fitting = [p.stem for p in sorted(RESULTS.glob("*.json")) if fnmatch(p.stem, pattern)]
            if not fitting:
                raise self.error(f"No table of results is called {pattern!r}.")
            names += [name for name in fitting if name not in listed]
            listed.update(names)
        if not names:
            return "None beside those above."
        return table(["table", "what it measures", "pictures", "data"], [row_of_result(name) for name in names])


class Families(Drawn):
    """Tables of models, from the registry of adapters, the measured families, and the cards of the models that ship."""

    def sources(self):
        """Files that the page is made of."""
        return [RESULTS / "vlm_families.json", *(ROOT / "models" / "weights").glob("*.json")]

    def text(self):
        """The table that the directive's argument names."""
        return {"adapters": adapters, "languages": languages, "refused": refused, "models": cards}[self.arguments[0]]()


def adapters():
    """Classes of transformers that have an adapter of their own, and what they are explained as."""
    from mmcam.adapters.transformers import FAMILIES

    asked = (
        ("similarity", "explain_similarity"), ("answer_scores", "explain_answer"), ("asked", "explain_answer"),
        ("token_log_probs", "explain_caption"), ("forward", "explain_class"),
    )  # fmt: skip
    rows = []
    for name, adapter in sorted(FAMILIES.items()):
        does = dict.fromkeys(function for method, function in asked if callable(getattr(adapter, method, None)))
        if len(does) > 1:
            does.pop("explain_class", None)  # every module has a forward
        rows.append([f"`{name}`", ", ".join(f"`{function}`" for function in does)])
    return table(["class of transformers", "is asked by"], rows)


def languages():
    """Language models that see and that are explained."""
    rows = [row for row in _families() if "works_by" in row]
    return table(
        ["family", "works by", "layer", "cells of the picture that was tried"],
        [
            [row["family"], row["works_by"], f"`{row.get('layer') or row['where']}`", row.get("cells", "")]
            for row in rows
        ],
    )


def refused():
    """Those that are not, and why."""
    return table(["family", "why not"], [[row["family"], row["why"]] for row in _families() if "why" in row])


def cards():
    """The models that ship: their task and how large they are, as their cards say."""
    rows = []
    for path in sorted((ROOT / "models" / "weights").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        size = f"{card['parameters'] / 1e6:.1f} million" if "parameters" in card else "as its package's"
        rows.append([f"`{path.stem}`", card["task"], size])
    return table(["name", "task", "parameters"], rows)


def _families():
    return json.loads((RESULTS / "vlm_families.json").read_text(encoding="utf-8"))["rows"]


class Gallery(Drawn):
    """The photographs that ship, each with what people see in it, whose it is and its licence."""

    def sources(self):
        """Files that the page is made of."""
        return [PHOTOGRAPHS / "credits.json"]

    def text(self):
        """A picture and a line below it, for each."""
        parts = []
        for name, whose in json.loads((PHOTOGRAPHS / "credits.json").read_text(encoding="utf-8")).items():
            licence = whose["licence"]
            if not licence.startswith("http"):
                licence = f"/mmcam/datasets/photographs/{licence}"
            parts.append(
                f"![{whose['told']}](/mmcam/datasets/photographs/{name})\n\n{whose['told']}. Photograph: "
                f"{whose['credit']} ([source]({whose['source']}), [licence]({licence}); changes: {whose['changes']})."
            )
        return "\n\n".join(parts)


def titled(app, name, source):
    """A table of results has no heading of its own: its file's name is one."""
    if name.startswith("experiments/results/") and not source[0].lstrip().startswith("# "):
        source[0] = f"# {name.rpartition('/')[2]}\n\n{source[0]}"


def without_overloads(analyze):
    """Autodoc's reading of a module, less the overloads, which would stand one below the other, a page a function."""

    def analyze_without(self):
        analyze(self)
        self.overloads = {}

    return analyze_without


def setup(app):
    """Sphinx calls this."""
    ModuleAnalyzer.analyze = without_overloads(ModuleAnalyzer.analyze)
    app.connect("source-read", titled)
    for name, directive in {"results": Results, "families": Families, "gallery": Gallery}.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
