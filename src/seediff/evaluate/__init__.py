"""How good segments and masks are, against labels that people drew.

matching.py    which class each segment stands for, by three protocols, and what that counts
scores.py      ACC, IoU and bootstrap intervals from the counts
labels.py      folders of labels as VOC, COCO-Stuff and Cityscapes are distributed, or plain
coco_stuff.py  COCO-Stuff's label list and its 27 coarse classes
label_maps.py  label maps on disk, and which prediction belongs to which label
segments.py    all of it over a folder, one image at a time
cli.py         the commands
"""
