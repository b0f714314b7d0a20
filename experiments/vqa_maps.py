"""Maps of answers, judged as in the Grad-CAM paper: what does the model go by, and where would people look?

For every method, and for maps that saw nothing: the rank correlation with occlusion maps, and with human attention. On
vignettes the exact masks of the things a question is about stand in for human attention, and CLEVR-XAI's relevance mass
and rank accuracy and the pointing accuracy are measured on them, too; explained are right answers about things. On
photographs human attention is VQA-HAT's, where it is there, and explained is what the model answers, right or wrong.
Figures go into runs/vqa_maps, a line a picture, and a run that was stopped goes on there.

    python -m experiments.vqa_maps
    python -m experiments.vqa_maps --data vqa --root DIR --model runs/vqa-san --hat DIR
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations, count
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
import models
from experiments.asked import Blind, Question, Split, official
from experiments.baseline import baseline
from experiments.faithfulness import METHODS, SETTINGS
from experiments.human_prior import GRID, Grid, HumanPrior, cells
from experiments.judging import KINDS
from experiments.memory import keep_freed_memory
from experiments.pictures import photographs
from experiments.records import add, read
from experiments.tables import show, with_error
from experiments.text_prior import RARE, expected, text_prior
from mmcam import evaluation as ev
from mmcam.datasets import asked, vignettes, vqa_hat
from mmcam.explanation import write_whole
from mmcam.report.strip import draw_strip, stack
from models import Answerer

OCCLUSION, RANDOM, CENTRE, TEXT, PEOPLE = "occlusion", "(random)", "(centre)", "(text alone)", "(people)"
BESIDE: Final = (OCCLUSION, RANDOM, CENTRE, TEXT, PEOPLE)
"""What is no method's map of the answer, but set beside them."""
BY_TYPE: Final = ("gradcam", "layercam")
KEYS: Final = ("occlusion", "attended", "mass", "rank", "pointing")
SQUARES: Final = {key: SETTINGS[key] for key in ("patch", "stride")}

PUBLISHED: Final[dict[str, dict[str, str]]] = {
    "gradcam": {"occlusion": "0.60 ± 0.038", "attended": "0.136"},
    "guided_backprop": {"occlusion": "0.42 ± 0.038"},
    RANDOM: {"attended": "0"},
    PEOPLE: {"attended": "~0.623"},
}
PUBLISHED_ATTENTION: Final = {"HieCoAtt": "~0.264", "SAN": "~0.249"}
"""With human attention, of a model's own attention, by the name of its class."""
SOURCES: Final = (
    "Published: Grad-CAM, arXiv 1610.02391, VGG-16 and photographs of COCO; human attention is VQA-HAT's (Das et al., "
    "arXiv 1606.03556), 1374 questions of VQA v1's validation part, where people agree with one another by ~0.623, "
    "HieCoAtt's attention with theirs by ~0.264 and SAN-2's by ~0.249. ~ is remembered and was not read again. Other "
    "models and pictures than ours: only the order can be compared."
)

Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A question and what its map is compared with.

    Attributes:
        question: with people's answers.
        truths: maps (h,w) of where people looked, one a person; of a vignette its mask.
        mask: (H,W), true on what the question is about; None where that is not known.
        prior: the map (14,14) of the text alone and whether it is a less special one; None where there is none.
        guess: the answer of the question-only baseline; "" where there is none.
    """

    question: Question
    truths: tuple[NDArray[np.floating], ...]
    mask: NDArray[np.bool_] | None
    prior: tuple[Grid | None, bool]
    guess: str = ""


@dataclass(frozen=True)
class Subject:
    """A picture by its name and place, and how many questions it is asked; `open` gives it with those to be judged."""

    name: str
    number: int
    asked: int
    open: Callable[[], tuple[Image.Image, list[Case]]]


class Asking(nn.Module):
    """A VQA model to which Q questions are put at once: from pictures (N,C,H,W), each seen once, to (N,Q,answers)."""

    def __init__(self, model: Answerer, questions: Sequence[str]) -> None:
        super().__init__()
        self.model, self.questions = model, tuple(questions)

    def forward(self, x: Tensor) -> Tensor:
        """Scores before the softmax."""
        n, q = len(x), len(self.questions)
        looked = self.model.look(self.model.see(x))
        read = self.model.read(*self.model.tokens(self.questions, x.device))
        scores = self.model.answer(
            tuple(part.repeat_interleave(q, dim=0) for part in looked), tuple(torch.cat([part] * n) for part in read)
        )
        return scores.unflatten(0, (n, q))


def main(
    data: Annotated[str, typer.Option(help="vignettes or vqa.")] = "vignettes",
    pictures: Annotated[int | None, typer.Option(help="The first so many; default 200 vignettes, all photos.")] = None,
    split: Annotated[str, typer.Option(help="Of the vignettes.")] = "test",
    only: Annotated[list[str] | None, typer.Option(help="These bundled models; default all that answer.")] = None,
    methods: Annotated[list[str] | None, typer.Option(help="Default eight, and the model's own attention.")] = None,
    root: Annotated[Path | None, typer.Option(help="Of photographs: the folder of VQA's official files.")] = None,
    model: Annotated[Path | None, typer.Option(help="Of photographs: a model's folder, as train_vqa made it.")] = None,
    hat: Annotated[Path | None, typer.Option(help="The folder with VQA-HAT's vqahat_val/; needs VQA v1.")] = None,
    sheet: Annotated[int, typer.Option(help="Questions on the picture of vignettes; 0 draws none.")] = 6,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/vqa_maps"),
) -> None:
    """Measure, and write vqa-maps-DATA.* and vqa-maps-types-DATA.*, of vignettes also vqa-maps.png."""
    keep_freed_memory()
    command = f"python -m experiments.vqa_maps --data {data}"
    if data == "vignettes":
        pictures = pictures or 200
        command += f" --pictures {pictures}" + f" --split {split}" * (split != "test")
        names = KINDS["answer"] if only is None else tuple(only)
        loaded = {name: models.load(name) for name in names}
        folder = models.WEIGHTS
        subjects = of_vignettes(pictures, split)
    elif data == "vqa":
        if root is None or model is None:
            raise typer.BadParameter("--data vqa needs --root, VQA's official files, and --model, a model's folder.")
        command += f" --root … --model {model.name}" + " --hat …" * (hat is not None)
        command += f" --pictures {pictures}" * (pictures is not None)
        loaded, folder, split = {model.name: models.load(model.name, folder=model)}, model, "test"
        subjects = of_photographs(root, hat, loaded[model.name], pictures)
    else:
        raise typer.BadParameter(f"There is no data {data!r}; choose vignettes or vqa.")
    command += "".join(f" --only {name}" for name in only or ()) + "".join(f" --methods {m}" for m in methods or ())
    found = {}
    for name, answerer in loaded.items():
        if not isinstance(answerer, Answerer):
            raise typer.BadParameter(f"{name} answers no questions; choose among {', '.join(KINDS['answer'])}.")
        weights = json.loads((folder / f"{name}.json").read_text())["sha256"][:8]  # other weights, other maps
        path = work / f"{data}-{name}-{weights}-{split}{'-hat' * (hat is not None)}.jsonl"
        chosen = methods_of(answerer, methods or (*METHODS, "attention"), hat is not None, data == "vignettes")
        found[name] = examine(answerer, subjects, chosen, data == "vignettes", path), chosen
    drawn = next((name for name in loaded if hasattr(loaded[name], "attention")), next(iter(loaded)))
    drawing = data == "vignettes" and sheet > 0
    tables(data, command, loaded, found, hat is not None, drawn if drawing else "", out)
    if drawing:
        picture = draw(loaded[drawn], split, sheet)
        write_whole(out / "vqa-maps.png", partial(picture.save, format="PNG", optimize=True))


def methods_of(model: Answerer, wanted: Sequence[str], people: bool, things: bool) -> list[str]:
    """The rows of a model: methods, its own attention only where it has some, and what they are set beside."""
    own = [name for name in wanted if name != OCCLUSION and (name != "attention" or hasattr(model, "attention"))]
    more = people or things  # than occlusion to be compared with
    return [*own, *[OCCLUSION] * more, RANDOM, CENTRE, *[TEXT] * more, *[PEOPLE] * people]


def of_vignettes(pictures: int, split: str) -> list[Subject]:
    """The first pictures of a split and their questions about things."""
    prior = text_prior("answer")

    def subject(i: int) -> Subject:
        seed = vignettes.seed(split, i)

        def open_picture() -> tuple[Image.Image, list[Case]]:
            scene = vignettes.draw(seed)
            cases = []
            for question in scene.questions:
                mask = scene.mask(question.things)
                if mask.any():
                    said = Question(question.text, question.type, (question.answer,))
                    cases.append(Case(said, (mask.astype(float),), mask, of_text(prior, question)))
            return scene.image, cases

        number = len(vignettes.questions.ask(vignettes.describe(seed)))
        return Subject(str(i), i, number, open_picture)

    return [subject(i) for i in range(pictures)]


def of_text(prior: Mapping[str, Grid], question: vignettes.Question) -> tuple[Grid, bool]:
    """Where what a question is about usually is, (14,14), and whether that is known of its type only."""
    mean_mask = expected(prior, question.type, question.text)
    return cells(mean_mask), f"{question.type}/{question.text}" not in prior


def of_photographs(root: Path, hat: Path | None, model: Any, pictures: int | None) -> list[Subject]:
    """Photographs outside the training part and their questions; with VQA-HAT, those that people's attention is of."""
    items = official(root, ("v2_", "") if hat is None else ("",))
    learnt = [Question(item.question, item.type, item.answers) for item in items if item.split == "train"]
    if not learnt:
        raise typer.BadParameter(f"{root} names no question of the training part, which a guess needs; add its files.")
    blind = Blind(Split(photographs((), model.preprocess), [learnt]))
    files = {} if hat is None else vqa_hat.attention_files(hat / "vqahat_val")
    own: defaultdict[Path, list[asked.Asked]] = defaultdict(list)
    for item in items:
        if item.split != "train" and (hat is None or item.id in files):
            own[item.path].append(item)
    if hat is not None:
        check_version(items)
        if not own:
            raise typer.BadParameter(f"{hat / 'vqahat_val'} has a map of none of the questions outside training.")
    kept = [item for group in own.values() for item in group if files]
    looked = {item.id: tuple(cells(vqa_hat.read_map(path)) for path in files[item.id]) for item in kept}
    prior = HumanPrior((item.path, item.question, np.mean(looked[item.id], axis=0)) for item in kept)

    def open_photograph(path: Path) -> tuple[Image.Image, list[Case]]:
        cases = []
        for item in own[path]:
            said = Question(item.question, item.type, item.answers)
            cases.append(Case(said, looked.get(item.id, ()), None, prior(path, item.question), blind(said)))
        return mmcam.load_image(path), cases

    return [
        Subject(path.name, i, len(own[path]), partial(open_photograph, path))
        for i, path in enumerate(list(own)[:pictures])
    ]


def check_version(items: Iterable[asked.Asked]) -> None:
    """Refuse the ids of VQA v2, the picture's number and three digits more, which VQA-HAT's may equal by accident."""
    if all(item.id // 1000 == int(item.path.stem[-12:]) for item in items):
        raise typer.BadParameter("These questions are numbered as in VQA version 2, VQA-HAT's as in version 1; get v1.")


def examine(model: Answerer, subjects: list[Subject], methods: list[str], right: bool, path: Path) -> list[Record]:
    """The records of all pictures, read or made; with `right`, of the questions that are answered rightly."""
    done = {record["picture"]: record for record in read(path)}
    records = []
    for subject in track(subjects, path.stem):
        record = done.get(subject.name)
        missing = [method for method in methods if record is None or method not in record["methods"]]
        if missing:
            image, cases = subject.open()
            if record is None:
                record = {"picture": subject.name, "asked": subject.asked, "about": len(cases), "methods": []}
                record["questions"] = answered(model, image, cases, right)
            judge(model, subject, image, cases, record, missing)
            add(path, [record])
        assert record is not None
        records.append(record)
    return records


def answered(model: Any, image: Image.Image, cases: list[Case], right: bool) -> list[Record]:
    """What is asked and answered, with the occlusion map of every answer."""
    asks = [i for i, case in enumerate(cases) if understood(model, case.question.text)]
    if not asks:
        return []
    x = model.preprocess(image)[0][None]
    with torch.no_grad():
        scores = Asking(model, [cases[i].question.text for i in asks])(x)[0]
    chosen = dict(zip(asks, scores.argmax(1).tolist(), strict=True))
    said = {i: model.answers[index] for i, index in chosen.items()}
    places = [i for i in asks if not right or cases[i].question.score(said[i]) == 1]
    maps = occlusions(model, x, [cases[i].question.text for i in places], [chosen[i] for i in places])
    return [
        {
            "place": i,
            "text": cases[i].question.text,
            "type": cases[i].question.type,
            "said": said[i],
            "score": cases[i].question.score(said[i]),
            "guessed": cases[i].question.score(cases[i].guess) if cases[i].guess else None,
            "fell back": cases[i].prior[1],
            "people": [len(cases[i].truths), sum(not truth.any() for truth in cases[i].truths)],
            "occlusion": [float(f"{value:.7g}") for value in occlusion.flat],
            "figures": {},
        }
        for i, occlusion in zip(places, maps, strict=True)
    ]


def understood(model: Answerer, question: str) -> bool:
    """Whether a question holds a word that the model knows."""
    try:
        return bool(model.tokenise(question))
    except ValueError:
        return False


def occlusions(model: Answerer, x: Tensor, questions: Sequence[str], answers: Sequence[int]) -> Grid:
    """Occlusion maps (Q,14,14) of answers to questions about a picture (1,C,H,W), which is covered once for all."""
    if not questions:
        return np.zeros((0, *GRID), np.float32)

    def score(q: int, answer: int, output: Tensor) -> Tensor:
        return output[:, q, answer]

    targets = [partial(score, q, answer) for q, answer in enumerate(answers)]
    maps = mmcam.attribute(Asking(model, questions), x, targets, method="occlusion", **SQUARES)
    return cells(maps[:, 0].cpu().numpy())


def judge(
    model: Answerer, subject: Subject, image: Image.Image, cases: list[Case], record: Record, methods: list[str]
) -> None:
    """Put the figures of methods into a record."""
    questions = record["questions"]
    for method in methods if questions else ():
        if method in BESIDE:
            seeds = [1000 * subject.number + question["place"] for question in questions]
            found = [
                beside(method, cases[question["place"]], grid_of(question), image.size, seed)
                for question, seed in zip(questions, seeds, strict=True)
            ]
        else:
            texts = [question["text"] for question in questions]
            maps = mmcam.explain_answer(model, [image] * len(texts), texts, method=method)
            # Every picture is squashed into the input as a whole, so a cam covers all that people saw.
            found = [
                figures(exp.cam, exp.heatmap, cases[question["place"]], grid_of(question))
                for question, exp in zip(questions, maps, strict=True)
            ]
        for question, own in zip(questions, found, strict=True):
            question["figures"][method] = own
    record["methods"] = [*record["methods"], *methods]


def grid_of(question: Record) -> Grid:
    """The occlusion map of a question of a record."""
    return np.array(question["occlusion"], np.float32).reshape(GRID)


def beside(method: str, case: Case, occlusion: Grid, size: tuple[int, int], seed: int) -> dict[str, float]:
    """The figures of what a method's map is set beside; none where there is no map of the text alone."""
    if method == PEOPLE:
        return {"attended": agreement(case.truths)}
    if method == OCCLUSION:
        grid: Grid | None = occlusion
    else:
        grid = case.prior[0] if method == TEXT else baseline(method, GRID, seed).numpy()
    if grid is None:
        return {}
    cam = torch.from_numpy(grid)
    # Over the picture as the heatmap of an Explanation is.
    heatmap = F.interpolate(cam[None, None], size[::-1], mode="bilinear", align_corners=False)[0, 0].numpy()
    found = figures(cam, heatmap, case, occlusion)
    return {key: value for key, value in found.items() if (method, key) != (OCCLUSION, "occlusion")}  # with itself


def figures(cam: Tensor, heatmap: NDArray[np.floating], case: Case, occlusion: Grid) -> dict[str, float]:
    """All figures of one map: of the cam against other maps, of the heatmap and its maximum against the mask."""
    found = {"occlusion": ev.rank_correlation(cam, occlusion)}
    if case.truths:
        found["attended"] = known_mean(ev.rank_correlation(cam, truth) for truth in case.truths)
    if case.mask is not None:
        found["mass"], found["rank"] = ev.mass(heatmap, case.mask), ev.rank(heatmap, case.mask)
        found["pointing"] = float(ev.inside(ev.peak(heatmap), case.mask))
    return found


def agreement(people: Sequence[NDArray[np.floating]]) -> float:
    """How each person's map agrees with the others': the mean rank correlation over pairs; nan without a pair."""
    return known_mean(ev.rank_correlation(one, other) for one, other in combinations(people, 2))


def known_mean(values: Iterable[float]) -> float:
    """The mean of the figures that are defined; nan where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def tables(
    data: str,
    command: str,
    loaded: dict[str, Answerer],
    found: dict[str, tuple[list[Record], list[str]]],
    people: bool,
    drawn: str,
    out: Path,
) -> None:
    """Print and write the table of all questions, and that of each type; `drawn` is the picture's model, if any."""
    rows, typed, told = [], [], []
    for name, (records, methods) in found.items():
        told.append(f"- {name}: {covered(records, TEXT in methods, people)}")
        asks = [(record["picture"], question) for record in records for question in record["questions"]]
        rows += [row_of(name, "all", method, asks) for method in methods]
        for kind in sorted({question["type"] for _, question in asks}):
            own = [(picture, question) for picture, question in asks if question["type"] == kind]
            typed += [row_of(name, kind, method, own) for method in BY_TYPE if method in methods]
    versions = {"mmcam": mmcam.__version__, "torch": torch.__version__}
    report = {"command": command, "versions": versions, "settings": SQUARES, "published": PUBLISHED}
    against = "asked things" if data == "vignettes" else "human attention"
    head = ["model", "method", "n", "empty", "occlusion ↑", "published", f"{against} ↑", "published, human attention"]
    head += ["mass % ↑", "rank % ↑", "pointing % ↑"]
    cells_of = []
    for row in rows:
        known = dict(PUBLISHED.get(row["method"], {}))
        if row["method"] == "attention":
            known["attended"] = PUBLISHED_ATTENTION.get(type(loaded[row["model"]]).__name__, "")
        line = [row["model"], row["method"], str(row["n"]), str(row["empty"])]
        for key in ("occlusion", "attended"):
            line += [shown(row, key), known.get(key, "")]
        cells_of.append(line + [shown(row, key) for key in ("mass", "rank", "pointing")])
    made = f"`{command}`: mmcam {versions['mmcam']}, torch {versions['torch']}."
    below = ["", f"Maps of {drawn}: ![questions, what they are about, maps](vqa-maps.png)"] if drawn else []
    above = [made, "", *told, "", legend(data, people), "", SOURCES]
    show(out / f"vqa-maps-{data}", report | {"rows": rows}, head, cells_of, above, below)
    if typed:
        head = ["model", "type of question", "method", "n", "empty", "occlusion ↑", f"{against} ↑"]
        head += ["mass % ↑", "rank % ↑", "pointing % ↑"]
        cells_of = [
            [*(str(row[key]) for key in ("model", "type", "method", "n", "empty")), *(shown(row, key) for key in KEYS)]
            for row in typed
        ]
        above = [made, "", f"As [all questions together](vqa-maps-{data}.md), where the columns are explained."]
        show(out / f"vqa-maps-types-{data}", report | {"rows": typed}, head, cells_of, above)


def row_of(name: str, kind: str, method: str, asks: list[tuple[str, Record]]) -> dict[str, Any]:
    """The figures of a method over questions, with standard errors clustered by picture."""
    row: dict[str, Any] = {"model": name, "type": kind, "method": method, "n": len(asks)}
    for key in KEYS:
        values = [question["figures"][method].get(key, float("nan")) for _, question in asks]
        figure = ev.mean(values, [picture for picture, _ in asks])
        if figure.n:
            row[key] = asdict(figure)
    row["empty"] = row["occlusion"]["undefined"] if "occlusion" in row else 0
    return row


def shown(row: dict[str, Any], key: str) -> str:
    """A figure and its standard error; correlations as they are, shares in percent; "" where there is none."""
    if key not in row:
        return ""
    scale, digits = (1, 3) if key in ("occlusion", "attended") else (100, 1)
    return with_error(row[key], scale, digits)


def covered(records: list[Record], prior: bool, people: bool) -> str:
    """How many questions were explained, how many of them rightly answered, and how often the text alone fell back."""
    asks = [question for record in records for question in record["questions"]]
    total, about = (sum(record[key] for record in records) for key in ("asked", "about"))
    pictures = [record["picture"] for record in records for _ in record["questions"]]
    text = f"{len(records)} pictures, {total} questions"
    if any(question["guessed"] is not None for question in asks):
        right = ev.mean([question["score"] for question in asks], pictures)
        guessed = ev.mean([question["guessed"] for question in asks], pictures)
        if len(asks) < total:
            text += f", of which {total - len(asks)} hold no word the model knows and are left out"
        text += f", VQA accuracy {with_error(right, 100)} %"
        text += f" (the question alone: {with_error(guessed, 100)} %)"
    else:
        text += f", {about} about things, of which {len(asks)} are answered rightly and explained"
        text += f" ({100 * len(asks) / max(total, 1):.0f} % of all)"
    if people:
        maps, black = (sum(question["people"][i] for question in asks) for i in (0, 1))
        text += f"; {black} of {maps} people's maps are black and left out"
    if prior and asks:
        text += f"; the text alone fell back in {100 * np.mean([ask['fell back'] for ask in asks]):.1f} %"
    return text + "."


def legend(data: str, people: bool) -> str:
    """What the columns and rows mean."""
    text = (
        "Occlusion: Spearman's rank correlation of the map with that of squares of "
        f"{SQUARES['patch']} pixels, stride {SQUARES['stride']}, covered with the mean colour, the score being the "
        "answer's before the softmax; both maps at 14×14, ties sharing their mean rank. "
    )
    if data == "vignettes":
        text += (
            "Asked things: the same with the exact mask of what the question is about, which stands in for human "
            "attention, so the published figures beside it are of something else. Mass, rank: CLEVR-XAI's relevance "
            "mass and rank accuracy, the share of the map, and of its K largest pixels, on that mask of K pixels. "
            "Pointing: the map's maximum lies on it, without tolerance. Explained are right answers to questions about "
            "things. Text alone: the mean mask of the same question asked of pictures of the train split, or, where it "
            f"was asked of fewer than {RARE} of them, of questions of its type (“fell back”). "
        )
    elif people:
        text += (
            "Human attention: the same with each person's map of VQA-HAT, averaged over the people of a question, then "
            "over questions. People: each person's map with those of the others, averaged over pairs. Text alone: the "
            "mean map of people for other questions that begin with the same two words, those about the picture left "
            "out, or, where there is none, for all other questions (“fell back”). Explained is what the model answers, "
            "right or wrong. No masks are known. "
        )
    else:
        text += "Explained is what the model answers, right or wrong. Neither human attention nor masks are known. "
    if data == "vignettes" or people:
        text += "The row “occlusion” is that map itself. "
    return text + (
        "Random and centre: noise at 14×14, and a Gaussian in the middle. Empty: questions whose map is the same "
        "everywhere; it has no ranks and is left out of the correlations. A pixel map counts by the largest magnitude "
        "over its channels. ±: standard error, the questions of one picture counting as one source of error."
    )


def draw(model: Any, split: str, questions: int, side: int = 150) -> Image.Image:
    """Questions of many types that are answered rightly: the picture, what is asked about, and maps of the answer."""
    methods = ["occlusion", "gradcam", "layercam", "guided_gradcam"]
    methods += ["attention"] if hasattr(model, "attention") else []
    strips: list[Image.Image] = []
    types: set[str] = set()
    for i in count(0):
        scene = vignettes.draw(vignettes.seed(split, i))
        fresh = [q for q in scene.questions if q.things and q.type not in types]
        asks = mmcam.explain_answer(model, [scene.image] * len(fresh), [q.text for q in fresh]) if fresh else []
        right = next((q for q, exp in zip(fresh, asks, strict=True) if exp.target == q.answer), None)
        if right is None:
            continue
        types.add(right.type)
        panels = [(scene.image, ""), (spotlight(scene.image, scene.mask(right.things)), "asked about")]
        for method in methods:
            options: dict[str, Any] = SQUARES if method == "occlusion" else {}
            exp = mmcam.explain_answer(model, scene.image, right.text, method=method, **options)
            panels.append((exp.overlay(), method))
        strip = draw_strip(panels, [""] * len(panels), columns=len(panels), side=side)
        strips += [line(f"{right.text}?", right.answer, strip.width, side), strip]
        if len(types) == min(questions, len(vignettes.questions.TYPES) - 1):  # a question of one type is about no thing
            break
    return stack(strips)


def spotlight(picture: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """A picture, faded and grey outside of a mask."""
    faded = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, "white"), 0.7)
    return Image.composite(picture, faded, Image.fromarray(mask))


def line(question: str, answer: str, width: int, side: int) -> Image.Image:
    """A question and, beside it, its answer, in one line."""
    height, gap = side // 5, side // 28
    picture = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(height * 0.6)
    pen.text((gap, height), question, (28, 32, 38), font, anchor="ld")
    pen.text((gap + pen.textlength(question + "  ", font), height), answer, (190, 60, 20), font, anchor="ld")
    return picture


if __name__ == "__main__":
    typer.run(main)
