"""Words of scripts without blanks, and characters of several code points."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_captioners import bytelevel

from mmcam.adapters.transformers.text import tokens_behind, tokens_of, words_of
from mmcam.tasks.scripts import goes_on, sentence, unspaced
from mmcam.tasks.words import find_span, put

WHOLE = [
    "👩‍👩‍👧‍👦",  # a family, joined
    "👍🏽",  # a skin tone
    "❤️",  # a variation
    "🇩🇪",  # a flag of two letters
    "🏴󠁧󠁢󠁳󠁣󠁴󠁿",  # a flag of tags
    "3️⃣",  # a keycap
    "e\u0301",  # an accent of its own
    "हि",  # a vowel sign
]


def words(text):
    tokens = bytelevel()(text)["input_ids"]
    return words_of(bytelevel(), tokens)


@pytest.mark.parametrize("one", WHOLE)
def test_what_a_reader_sees_as_one_stays_whole(one):
    assert len(one) > 1
    assert all(goes_on(one[:i], one[i:]) for i in range(1, len(one)))
    found = words(f"a {one} boat")
    assert [word for word, _ in found] == ["a", one, "boat"]
    assert [place for _, places in found for place in places] == list(
        range(len(bytelevel()(f"a {one} boat")["input_ids"]))
    )


def test_two_flags_and_two_emoji_are_two():
    assert [word for word, _ in words("🇩🇪🇫🇷😀😀")] == ["🇩🇪", "🇫🇷", "😀", "😀"]


@settings(max_examples=50)
@given(st.text(min_size=2, max_size=6))
def test_accents_go_on_as_unicode_says(text):
    for i in range(1, len(text)):
        if unicodedata.combining(text[i]):
            assert goes_on(text[:i], text[i:])
        if text[i].isalpha() and ord(text[i - 1]) != 0x200D:
            assert not goes_on(text[:i], text[i:])


@pytest.mark.parametrize(
    ("text", "phrase", "at"),
    [
        ("一只小狗在草地上", "小狗", range(2, 4)),
        ("一只小狗在草地上", "草地", range(5, 7)),
        ("犬がボールで遊ぶ", "ボール", range(2, 5)),
        ("一只 小狗 a dog", "小狗", range(2, 4)),
    ],
)
def test_a_phrase_inside_a_run_of_characters(text, phrase, at):
    found = [word for word, _ in words(text)]
    assert find_span(found, phrase) == at
    assert sentence(found[at.start : at.stop]) == phrase
    assert find_span(found, phrase, at.start) == at
    assert find_span(found, phrase, at.start + 1) is None
    assert find_span(found, "猫") is None


def test_thai_vowels_stay_with_their_letters():
    found = [word for word, _ in words("สุนัขวิ่ง")]
    assert "".join(found) == "สุนัขวิ่ง"
    assert not any(unicodedata.category(word[0]).startswith("M") for word in found)
    span = find_span(found, "สุนัข")
    assert sentence(found[span.start : span.stop]) == "สุนัข"


def test_a_sentence_has_the_blanks_of_its_script():
    assert sentence(["a", "dog", "."]) == "a dog ."
    assert sentence(["小", "狗", "。"]) == "小狗。"
    assert sentence(["小", "狗", "dog", "小"]) == "小狗 dog 小"
    assert sentence([]) == ""
    assert [unspaced(c) for c in "狗のไa é"] == [True, True, True, False, False, False]


class Speaker:
    """Writes with a tokenizer of bytes."""

    def words(self, tokens):
        return words_of(bytelevel(), tokens)

    def encode(self, text):
        return tokens_of(bytelevel(), text)

    def encode_inside(self, phrase):
        return tokens_behind(bytelevel(), "a", f" {phrase}")

    def encode_run(self, phrase):
        return tokens_behind(bytelevel(), "。", phrase)


def test_another_phrase_in_its_place_needs_no_blank():
    tokens = tokens_of(bytelevel(), "一只小狗在")
    rival, span = put(Speaker(), tokens, range(2, 4), "大猫")
    assert bytelevel().decode(rival) == "一只大猫在"
    assert span == range(2, 4)
    spaced, _ = put(Speaker(), tokens_of(bytelevel(), "a dog runs"), range(1, 2), "cat")
    assert bytelevel().decode(spaced) == "a cat runs"
