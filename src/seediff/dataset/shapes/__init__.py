"""Other forms of a label map than pixels.

objects.py     the objects in a label map
changes.py     objects after a person or another tool changed the label map
cuts.py        objects after a person cut or joined them
polygons.py    outlines of objects as polygons, for YOLO files and labelme
rle.py         run lengths of masks, polygons, boxes and ellipses; COCO's texts, and Label Studio's brush
"""
