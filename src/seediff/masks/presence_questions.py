"""Questions about the classes in a picture, and the threshold of `presence` that answers them best.

It is tuned for all ways to use `mask`: a sentence with a picture's classes and 0 to 3 others (`several`), sentences
with one class, present or absent (`one`), and many classes at once, in several sentences (`many`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_ABSENT, MOST_ASKED = 3, 20
"""Maximum number of absent classes in `several`, and of classes in `many`."""
THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.005), 3)


def questions(shown: Sequence[str], known: Sequence[str], index: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """The questions (group, classes) for picture `index`: its classes and index % 4 others; one of its classes; one
    other; many; those that are possible.
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


def best_threshold(group: np.ndarray, present: np.ndarray, score: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy, averaged over the groups; the lowest of equals. For n questions
    (n,): the kind, whether the class is there, and its score.
    """
    kinds = [(group == one) & (present == there) for one in np.unique(group) for there in (True, False)]

    def balanced(threshold: float) -> float:
        right = (score >= threshold) == present
        # rounded, so that equal scores compare equal
        return round(float(np.mean([right[kind].mean() for kind in kinds if kind.any()])), 9)

    return float(max(THRESHOLDS, key=balanced))
