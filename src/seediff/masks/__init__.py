"""Makes masks of named classes from `AttentionMaps`.

make_masks.py    from an image's maps to its label map; start here
methods.py       the methods, which make a class's soft mask; arithmetic.py and steps.py: their tools
own_methods.py   a user's own method
pamr.py, sam.py  move soft masks to the edges of the image
results.py       `MaskResult`: the masks of one image; scores of masks without truth
presence.py      is the class in the picture?
photos.py        finds classes in photographs and makes their masks
clips.py         masks of the frames of a clip
"""
