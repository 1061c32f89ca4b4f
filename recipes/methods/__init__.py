"""Published mask methods as methods of one's own: a file each, which any command takes, here or copied elsewhere.

    seediff mask photos --model sd1.5 --classes dog,cat --method recipes/methods/fa_seg.py:fa_seg --out masks

Importing this package registers all of them, each by its function's name, for the studies. docs/methods.md says what
they compute and what they leave out. Levels that a model lacks are left out, and the weights of the others divided by
their sum. N is min-max; rows of SA sum to 1.
"""

from types import ModuleType

from seediff.masks.own_methods import register_method

from . import diffsegmenter, fa_seg, iseg_walk, nerve_walk, reference

FILES: dict[str, ModuleType] = {
    "reference": reference,
    "fa_seg": fa_seg,
    "diffsegmenter": diffsegmenter,
    "iseg_walk": iseg_walk,
    "nerve_walk": nerve_walk,
}
"""Method, which is also the name of its function, → its file."""

for name, file in FILES.items():
    register_method(name, getattr(file, name), file.CONSTANTS)
