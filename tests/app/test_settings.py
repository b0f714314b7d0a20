from dataclasses import fields
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcam
from mmcam.app.limits import CHARACTERS
from mmcam.app.settings import PAGES, Settings, from_query

TEXT = st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), max_size=40)


@given(st.builds(Settings, st.sampled_from(list(PAGES)), *[TEXT] * 5, st.booleans(), st.just("layercam"), TEXT, TEXT))
def test_a_link_brings_everything_back(settings):
    read = dict(parse_qsl(settings.query(), keep_blank_values=True))
    assert from_query(read) == settings


def test_a_link_says_what_differs_from_the_defaults():
    assert Settings(page="caption", target="dog").query() == "ask=caption&target=dog"


def test_what_nobody_knows_in_a_link_is_left_out():
    assert from_query({"ask": "answer", "__class__": "x", "__theme": "dark"}) == Settings(page="answer")


@pytest.mark.parametrize("field", [field.name for field in fields(Settings) if field.type == "str"][1:])
def test_a_text_that_is_too_long_is_refused(field):
    with pytest.raises(mmcam.ExplainError, match=f"The {field} has 301 characters, and {CHARACTERS} are read"):
        from_query({field: "x" * (CHARACTERS + 1)})


def test_a_page_that_is_none_is_refused():
    with pytest.raises(mmcam.ExplainError, match="no page of that name; there are class, caption, answer, neurons"):
        from_query({"ask": "../etc/passwd"})
