"""COCO-Stuff's 182 labels with their published ids, and the 27 coarse classes of its label hierarchy.

Labels and hierarchy: H. Caesar, J. Uijlings, V. Ferrari, "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018,
`labels.txt` of nightrome/cocostuff, CC BY 4.0. Numbers of the coarse classes: those of IIC (xu-ji/IIC,
`cocostuff_fine_to_coarse.py`, MIT License, Copyright (c) 2019 Xu Ji; see NOTICE), which PiCIE, STEGO and DiffSeg use
too.

Pixel maps ("stuffthingmaps") hold a label's published id minus one, 0 to 181, and 255 where nothing is labelled.
"""

from __future__ import annotations

import numpy as np

_LABELS = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign,"
    " stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat,"
    " backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,"
    " baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife,"
    " spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted"
    " plant, bed, mirror, dining table, window, desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone,"
    " microwave, oven, toaster, sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier,"
    " toothbrush, hair brush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,"
    " ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff,"
    " fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit,"
    " furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss,"
    " mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing,"
    " railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other,"
    " stairs, stone, straw, structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick,"
    " wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind,"
    " window-other, wood"
)
LABELS: tuple[str, ...] = tuple(_LABELS.split(", "))
"""Entry i is the label of pixel value i."""
_COARSE = (
    "electronic-things, appliance-things, food-things, furniture-things, indoor-things, kitchen-things, "
    "accessory-things, animal-things, outdoor-things, person-things, sports-things, vehicle-things, ceiling-stuff, "
    "floor-stuff, food-stuff, furniture-stuff, raw-material-stuff, textile-stuff, wall-stuff, window-stuff, "
    "building-stuff, ground-stuff, plant-stuff, sky-stuff, solid-stuff, structural-stuff, water-stuff"
)
COARSE: tuple[str, ...] = tuple(_COARSE.split(", "))
_COARSE_OF_LABELS = (
    "9 11 11 11 11 11 11 11 11 8 8 8 8 8 8 7 7 7 7 7 7 7 7 7 7 6 6 6 6 6 6 6 6 10 10 10 10 10 10 10 10 10 10 5 5 5 5 "
    "5 5 5 5 2 2 2 2 2 2 2 2 2 2 3 3 3 3 3 3 3 3 3 3 0 0 0 0 0 0 1 1 1 1 1 1 4 4 4 4 4 4 4 4 17 17 22 20 20 22 15 25 "
    "16 13 12 12 17 17 23 15 15 17 15 21 15 25 13 13 13 13 13 22 26 14 14 15 22 21 21 24 20 22 15 17 16 15 22 24 21 "
    "17 25 16 21 17 22 16 21 21 25 21 26 21 24 20 17 14 21 26 15 23 20 21 24 15 24 22 25 15 20 17 17 22 14 18 18 18 "
    "18 18 18 18 26 26 19 19 24"
)


def fine_to_coarse() -> np.ndarray:
    """(182,) int32: the coarse class of each pixel value."""
    return np.array(_COARSE_OF_LABELS.split(), np.int32)
