"""What the structure of a model cannot tell, family by family: a line or two each.

The prompt where a processor brings no template; what kind of token an answer's are, where a model sets kinds apart; and
the encoder, where the vectors that are handed over have no place in the picture: each was gathered from all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Declared:
    """Of one family.

    Attributes:
        text: from what is asked and the picture's token to the prompt, where there is no chat template.
        prompt: what a caption answers.
        question: what is made of a question, "{}" in its place.
        kinds: what an answer's tokens are in the processor's inputs that have a number a token; 0 where none is named.
        tower: dotted name, in the transformers model, of the encoder whose last block is explained instead of what is
            handed over; "" for that.
        options: of every call of the processor.
        line_after_prompt: the processor ends the prompt with a line break.
        why: in words, for the table of families.
    """

    text: Callable[[str, str], str] | None = None
    prompt: str = "Describe the picture in one sentence."
    question: str = "{}"
    kinds: Mapping[str, int] = field(default_factory=dict)
    tower: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    line_after_prompt: bool = False
    why: str = ""


def vicuna(asked: str, place: str) -> str:
    """The prompt that LLaVA was trained with."""
    return f"USER: {place}\n{asked} ASSISTANT:"


def bare(asked: str, place: str) -> str:
    """Nothing but the picture and what is asked."""
    return f"{place}{asked}"


def alone(asked: str, place: str) -> str:
    """What is asked; the processor puts the picture in front itself."""
    return asked


DECLARED: dict[str, Declared] = {
    "LlavaForConditionalGeneration": Declared(text=vicuna),
    "VipLlavaForConditionalGeneration": Declared(text=vicuna),
    "LlavaNextForConditionalGeneration": Declared(text=vicuna),
    "PaliGemmaForConditionalGeneration": Declared(
        bare, "caption en", "answer en {}", {"token_type_ids": 1}, line_after_prompt=True, why="its answer's tokens"
    ),
    "Idefics2ForConditionalGeneration": Declared(tower="model.vision_model", why="its latents have no place"),
    "Blip2ForConditionalGeneration": Declared(
        alone, "", "Question: {} Answer:", tower="vision_model", why="its queries have no place"
    ),
    "InstructBlipForConditionalGeneration": Declared(
        alone, "Describe the picture.", tower="vision_model", why="its queries have no place"
    ),
    "Cosmos3EdgeForConditionalGeneration": Declared(
        options={"return_mm_token_type_ids": True}, why="its processor leaves out the kinds of tokens"
    ),
    "Kosmos2ForConditionalGeneration": Declared(alone, "<grounding>An image of", tower="vision_model", why="latents"),
    "Florence2ForConditionalGeneration": Declared(alone, "<CAPTION>", why="its prompt is a task"),
}
"""By the name of the class."""
