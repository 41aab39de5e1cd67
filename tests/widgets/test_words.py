"""What the dock "Segment" says."""

from types import SimpleNamespace

from napari_sam.viewer.drafts import Written
from napari_sam.widgets.words import answered, counted, told, told_of_drafts


def test_one_is_not_many():
    assert [counted(n, "object") for n in (0, 1, 2, 6561)] == [
        "0 objects",
        "1 object",
        "2 objects",
        "6,561 objects",
    ]


def test_an_answer_says_what_to_do_and_how_long_it_took():
    assert answered(0.034, 12.2).endswith("Answered in 34 ms; objects of about 12 px")
    assert answered(16.96, None).endswith("Answered in 17.0 s")
    assert "Enter commits" in answered(1, None)


def test_the_ends_of_a_propagation_are_told_in_words():
    ended = [SimpleNamespace(reason=reason) for reason in ("edge", "doubtful", "edge")]
    summary = SimpleNamespace(filled={1: (3, 4)}, ended=ended)
    assert told(summary) == (
        "Filled 2 slices of 1 object; ends: 1 became doubtful, 2 reached the end"
    )


def test_objects_that_were_refined_are_no_drafts():
    assert told_of_drafts(Written(1, 0), "everything").startswith("1 draft;")
    assert told_of_drafts(Written(2, 0), "refined").startswith("Refined 2 objects;")
    assert told_of_drafts(Written(3, 1), "alike").startswith("3 drafts, 1 doubtful place left;")
