"""The official VQA accuracy, on answers counted by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.evaluation.vqa_accuracy import accuracy, normalise

quick = settings(max_examples=60, deadline=None)  # a busy machine is not a failure


@pytest.mark.parametrize(
    ("agree", "right"),
    # Who agrees sees one less among the other nine. Of two: 2 × min(1, 1/3) + 8 × min(1, 2/3) = 6, over ten.
    [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (5, 1), (9, 1), (10, 1)],
)
def test_three_of_the_others_make_an_answer_right(agree, right):
    answers = ["red"] * agree + [f"other {i}" for i in range(10 - agree)]
    assert accuracy("red", answers) == right  # exactly


def test_fewer_people_can_be_left_out_too():
    assert accuracy("red", ["red", "blue"]) == pytest.approx(1 / 6)  # (0 + 1/3) / 2
    assert accuracy("red", ["red", "red"]) == pytest.approx(1 / 3)
    for answers in ([], ["red"]):
        with pytest.raises(ValueError, match=rf"at least two answers, and there are {len(answers)}"):
            accuracy("red", answers)


def test_answers_are_normalised_only_where_people_differ():
    differ = ["the dog"] * 4 + ["dog."] * 3 + ["2 dogs", "two dogs", "Two Dogs"]
    assert accuracy("Dog", differ) == 1  # seven
    assert accuracy("a dog!", differ) == 1
    assert accuracy("two dogs", differ) == pytest.approx(0.9)  # three
    agree = ["the dog"] * 10
    assert accuracy("the dog", agree) == 1
    assert accuracy("dog", agree) == 0, "all agree: answers are compared as they stand"
    assert accuracy("The dog", agree) == 0


def test_line_breaks_and_tabs_are_always_spaces():
    assert accuracy("the\ndog\n", ["the dog"] * 10) == 1
    assert accuracy("the dog", ["the\tdog", "\nthe dog "] * 5) == 1, "these all agree once they are on one line"
    assert accuracy("dog", ["the\tdog", "the dog"] * 5) == 0


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("", ""),
        ("  Red ", "red"),
        ("The cat and a dog", "cat and dog"),
        ("an", ""),
        # number words
        ("none", "0"),
        ("Zero", "0"),
        ("one two three four five six seven eight nine ten", "1 2 3 4 5 6 7 8 9 10"),
        ("eleven", "eleven"),
        ("twenty-one", "twenty 1"),
        # contractions
        ("dont", "don't"),
        ("don't", "don't"),
        ("I cant, wont", "i can't won't"),
        ("couldnt've couldn'tve", "couldn't've couldn't've"),
        ("whos theyre youll shouldve itd", "who's they're you'll should've it'd"),
        ("shant mustve whyre someonell", "shan't must've why're someone'll"),
        ("oclock maam yall twas", "o'clock ma'am y'all 'twas"),
        ("its were shes well shed id", "its were shes well shed id"),
        ("Im Ive", "im ive"),  # the official table has these in upper case only
        ("somebody'd", "somebodyd"),  # and this one the wrong way round
        # punctuation: a space in its place …
        ("black/white", "black white"),
        ("x-/y-z x", "x y z x"),  # the space that the slash becomes does not count
        ("x/-y-z x", "x y z x"),
        ("t-shirt", "t shirt"),
        ("yes!", "yes"),
        ("what?!really", "what really"),
        # … or nothing, if that mark touches a space anywhere
        ("red, white,blue", "red whiteblue"),
        ("t-shirt - red", "tshirt red"),
        ("a/b, c", "b c"),  # the slash does not touch a space, and a is an article
        ("x-y- ", "x y"),  # the end of the answer is no space, and what surrounds it is cut off first
        ("red (dark)blue", "red dark blue"),  # a space before the mark counts like one behind it, each mark for itself
        ("x (y)z(w", "x y zw"),
        ("a-b\n-c", "ab c"),  # a line break is a space by then
        # … or nothing, if there is a number with a comma
        ("1,000", "1000"),
        ("10,000/day", "10000day"),
        ("1,a", "1"),
        ("1, 000/2", "1 000 2"),  # that comma touches a space, and there is no number with a comma left
        ("a,1,000 x-y", "a1000 xy"),
        ("1,000.50", "1000.50"),
        # a period goes unless a digit follows
        ("dr. no", "dr no"),
        ("3.5", "3.5"),
        ("3.", "3"),
        (".5 mi.", ".5 mi"),
        ("a.5b 5.b", "a.5b 5b"),
        ("1...5", "1.5"),
        ("3./4", "3 4"),  # marks have become spaces by then
        # the steps in their order: marks, periods, number words and articles, contractions
        ("one.", "1"),
        ("none/a", "0"),
        ("a-one", "1"),
        ("The. dont!", "don't"),
        ("u.s.a.", "usa"),
        # these are no punctuation
        ("5:30", "5:30"),
        ("it's $5 & 10%", "it's $5 & 10%"),
    ],
)
def test_normalised_as_officially(answer, plain):
    assert normalise(answer) == plain


@pytest.mark.parametrize("mark", list(';/[]"{}()=+\\_-><@`,?!'))
def test_every_mark_becomes_a_space_or_goes_if_it_touches_one(mark):
    assert normalise(f"x{mark}y") == "x y"
    assert normalise(f"x{mark} y{mark}z") == "x yz"
    assert normalise(f"x {mark}y{mark}z") == "x yz"
    assert normalise(f"x{mark}y 1,000") == "xy 1000"


def test_what_all_people_say_is_not_normalised_even_if_it_could_be():
    assert accuracy("1000", ["1,000"] * 10) == 0
    assert accuracy("0", ["none"] * 10) == 0
    assert accuracy("0", ["none"] * 9 + ["nothing"]) == 1
    assert accuracy("1000", ["1,000"] * 9 + ["many"]) == 1


words = st.lists(
    st.sampled_from(
        ["the", "dont", "two", "none", "red", "Dog", "1,000", "3.5", "x", "-", ",", "/", "'", ".", "\n", "!"]
    )
).map("".join)


@quick
@given(words, st.lists(words, min_size=2, max_size=10))
def test_an_accuracy_is_between_zero_and_one(answer, answers):
    assert 0 <= accuracy(answer, answers) <= 1
    assert accuracy("nobody said this", answers) == 0


@quick
@given(st.lists(words, min_size=2, max_size=10).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
def test_the_order_of_people_does_not_matter(said_and_shuffled):
    said, shuffled = said_and_shuffled
    for answer in said:
        assert accuracy(answer, shuffled) == accuracy(answer, said)


@quick
@given(words, st.lists(words, min_size=2, max_size=10))
def test_one_more_who_agrees_never_hurts(answer, answers):
    other = [*answers, "something else"]  # so that both are normalised
    assert accuracy(answer, [*other, answer]) >= accuracy(answer, [*other, "nobody said this"])


@quick
@given(words)
def test_normal_answers_have_no_marks_left(answer):
    plain = normalise(answer)
    assert not set(plain) & set("-,/!\n\t")
    assert plain == plain.lower().strip()
    assert "the" not in plain.split()
