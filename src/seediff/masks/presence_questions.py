"""Questions about which classes a picture shows, their answers as scores, and the threshold that answers best.

A threshold is sought for all the ways in which `mask` may be asked: with a sentence that names a picture's classes and 0 to 3 others
(`several`), with sentences of one class, once one that is there and once one that is not (`one`), and about many classes at once, in as
many sentences as they need (`many`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ABSENT = 3
"""Classes that are not in the picture, in `several`."""
MOST_ASKED = 20
"""Classes in `many`."""
THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.005), 3)


@dataclass(frozen=True)
class Answers:
    """Scores of n questions (picture, class): how it was asked, of which picture, whether the class is there, and its score.

    group (n,): `several`, `one` or `many`; absent (n,): how many of the classes asked for together are not in the picture.
    """

    group: np.ndarray
    absent: np.ndarray
    scene: np.ndarray
    present: np.ndarray
    score: np.ndarray

    def where(self, chosen: np.ndarray) -> Answers:
        """Those chosen (n,) bool."""
        return Answers(*(getattr(self, name)[chosen] for name in ("group", "absent", "scene", "present", "score")))


def questions(shown: Sequence[str], known: Sequence[str], index: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """(group, classes) that picture `index` is asked about: those it shows and index % 4 others, one of its own, one other, many.

    A picture that shows nothing, or all that is known, is asked in the ways that are left.
    """
    rng = np.random.default_rng((seed, index))
    others = [str(name) for name in rng.permutation([name for name in known if name not in shown])]
    several = [*shown, *others[: index % (MOST_ABSENT + 1)]]
    shuffled = tuple(several[i] for i in rng.permutation(len(several)))
    many = [*shown, *others][:MOST_ASKED] if len(known) > MOST_ASKED else list(known)
    everything = tuple(str(name) for name in rng.permutation(many))
    alone = [("one", (str(rng.choice(list(shown))),))] if shown else []
    other = [("one", (others[-1],))] if others else []
    return [(group, classes) for group, classes in [("several", shuffled), *alone, *other, ("many", everything)] if classes]


def best_threshold(answers: Answers) -> float:
    """The threshold with the highest balanced accuracy, the mean over the groups; the lowest of equals."""

    def balanced(threshold: float) -> float:
        positive = answers.score >= threshold
        right = positive == answers.present
        kinds = [(answers.group == group) & (answers.present == there) for group in np.unique(answers.group) for there in (True, False)]
        return round(float(np.mean([right[kind].mean() for kind in kinds if kind.any()])), 9)  # equal ones are equal

    return float(max(THRESHOLDS, key=balanced))
