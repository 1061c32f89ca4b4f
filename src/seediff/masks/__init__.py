"""Makes masks of named classes from `AttentionMaps`.

make_masks.py    from an image's maps to its label map; start here
methods.py       the package's methods, which make a class's soft mask; arithmetic.py and steps.py are their tools
user_method.py   a user's own function as a method
pamr.py, sam.py  move soft masks to the edges of the image
confidence.py    how sure was the method?
presence.py      is the class in the picture?
photos.py        finds classes in photographs and makes their masks
clips.py         masks of the frames of a clip
"""
