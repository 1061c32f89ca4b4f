"""Questions about the classes in a picture, their scores, and the threshold that answers them best.

The threshold is tuned for all ways to use `mask`: a sentence with a picture's classes and 0 to 3 others (`several`),
sentences with one class, which is present or absent (`one`), and many classes at once, in several sentences (`many`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ABSENT = 3
"""Maximum number of absent classes in `several`."""
MOST_ASKED = 20
"""Number of classes in `many`."""
THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.005), 3)


@dataclass(frozen=True)
class Answers:
    """n questions (picture, class) with the kind of question, the picture, whether the class is there, and the score.

    group (n,): `several`, `one` or `many`. absent (n,): the number of classes in the question that are not in the
    picture.
    """

    group: np.ndarray
    absent: np.ndarray
    scene: np.ndarray
    present: np.ndarray
    score: np.ndarray

    def where(self, chosen: np.ndarray) -> Answers:
        """The questions chosen by a mask (n,) bool."""
        return Answers(*(getattr(self, name)[chosen] for name in ("group", "absent", "scene", "present", "score")))


def questions(shown: Sequence[str], known: Sequence[str], index: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """The questions (group, classes) for picture `index`: its classes and index % 4 others; one of its classes; one
    other; many.

    A picture that shows no class, or all classes, gets only the questions that are possible.
    """
    rng = np.random.default_rng((seed, index))
    others = [str(name) for name in rng.permutation([name for name in known if name not in shown])]
    several = [*shown, *others[: index % (MOST_ABSENT + 1)]]
    shuffled = tuple(several[i] for i in rng.permutation(len(several)))
    many = [*shown, *others][:MOST_ASKED] if len(known) > MOST_ASKED else list(known)
    everything = tuple(str(name) for name in rng.permutation(many))
    alone = [("one", (str(rng.choice(list(shown))),))] if shown else []
    other = [("one", (others[-1],))] if others else []
    return [
        (group, classes) for group, classes in [("several", shuffled), *alone, *other, ("many", everything)] if classes
    ]


def best_threshold(answers: Answers) -> float:
    """The threshold with the highest balanced accuracy, averaged over the groups; the lowest if several are equal."""

    def balanced(threshold: float) -> float:
        positive = answers.score >= threshold
        right = positive == answers.present
        kinds = [
            (answers.group == group) & (answers.present == there)
            for group in np.unique(answers.group)
            for there in (True, False)
        ]
        return round(
            float(np.mean([right[kind].mean() for kind in kinds if kind.any()])), 9
        )  # so that equal scores compare equal

    return float(max(THRESHOLDS, key=balanced))
