import math

import numpy as np
import pytest

from seediff.rows.doubt import changed_since, doubt, most_doubtful
from seediff.rows.row import Review, Row


def row(support=None, *confidence):
    named = {f"class {i}": value for i, value in enumerate(confidence)}
    return Row(support=None if support is None else {"dog": support}, confidence=named or None)


def test_the_lower_of_both_ranks_counts():
    rows = [row(0.1, 0.9), row(0.2, 0.8, 0.3), row(0.3, 0.7), row(0.4, 0.6), row()]
    # ranks of support 1 2 3 4, of the lowest confidence 4 1 3 2, each of 4
    assert doubt(rows) == pytest.approx([0.75**2, 0.75**2, 0.25**2, 0.5**2, 0.5])


def test_rows_with_one_and_with_two_figures_compare_in_a_merged_set():
    rng = np.random.default_rng(0)
    both = doubt([row(*one) for one in rng.random((2000, 2)).round(4).tolist()] + [row(x) for x in rng.random(2000)])
    # Tippett's statistic is uniform for either kind, so each has its share of any worst part
    for share in (0.1, 0.2, 0.5):
        worst = np.argsort(-both)[: int(4000 * share)]
        assert math.isclose((worst < 2000).mean(), 0.5, abs_tol=0.05)


def test_the_most_doubtful_are_named_with_the_class_of_the_lower_figure():
    def given(support, dog, cat, **more):
        return Row(support={"bus": support}, confidence={"dog": dog, "cat": cat}, **more)

    rows = [
        given(0.9, 0.9, 0.1),
        given(0.8, 0.8, 0.9, review=Review(verdict="accepted")),
        Row(),
        given(0.1, 0.8, 0.7),
        Row(support={"cow": 0.5}),
        Row(confidence={"dog": 0.95, "cat": 0.75}),
    ]
    order = np.argsort(-doubt(rows), kind="stable").tolist()
    found = most_doubtful(rows, 4)
    assert [one.position for one in found] == [i for i in order if i not in (1, 2)]
    assert {one.position: one.class_name for one in found} == {0: "cat", 3: "bus", 4: "cow", 5: "cat"}
    assert most_doubtful(rows, 1) == found[:1]


def test_what_changed_or_came_after_the_last_run():
    corrected, rejected = Row(review=Review(corrected=True)), Row(support={}, review=Review(verdict="rejected"))
    assert row(0.5).of_other_mask().support is None
    assert changed_since([True] * 3, [row(0.5), corrected, rejected]) == 1
    assert changed_since([True, False, False, False], [row(0.5), Row(), corrected, rejected]) == 1
    assert changed_since([False, False], [Row(), corrected]) == 0
