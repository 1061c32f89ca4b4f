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

HIERARCHY: dict[str, str] = {
    "electronic-things": "tv, laptop, mouse, remote, keyboard, cell phone",
    "appliance-things": "microwave, oven, toaster, sink, refrigerator, blender",
    "food-things": "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake",
    "furniture-things": "chair, couch, potted plant, bed, mirror, dining table, window, desk, toilet, door",
    "indoor-things": "book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush",
    "kitchen-things": "bottle, plate, wine glass, cup, fork, knife, spoon, bowl",
    "accessory-things": "hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase",
    "animal-things": "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe",
    "outdoor-things": "traffic light, fire hydrant, street sign, stop sign, parking meter, bench",
    "person-things": "person",
    "sports-things": (
        "frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis"
        " racket"
    ),
    "vehicle-things": "bicycle, car, motorcycle, airplane, bus, train, truck, boat",
    "ceiling-stuff": "ceiling-tile, ceiling-other",
    "floor-stuff": "carpet, floor-tile, floor-wood, floor-marble, floor-stone, floor-other",
    "food-stuff": "fruit, salad, vegetable, food-other",
    "furniture-stuff": (
        "door-stuff, desk-stuff, table, shelf, cabinet, cupboard, mirror-stuff, counter, light, stairs, furniture-other"
    ),
    "raw-material-stuff": "cardboard, paper, plastic, metal",
    "textile-stuff": "rug, mat, towel, napkin, clothes, cloth, curtain, blanket, pillow, banner, textile-other",
    "wall-stuff": "wall-tile, wall-panel, wall-wood, wall-brick, wall-stone, wall-concrete, wall-other",
    "window-stuff": "window-blind, window-other",
    "building-stuff": "house, skyscraper, bridge, tent, roof, building-other",
    "ground-stuff": "sand, snow, dirt, mud, gravel, road, pavement, railroad, platform, playingfield, ground-other",
    "plant-stuff": "grass, tree, bush, leaves, flower, branch, moss, straw, plant-other",
    "sky-stuff": "clouds, sky-other",
    "solid-stuff": "wood, rock, stone, mountain, hill, solid-other",
    "structural-stuff": "fence, cage, net, railing, structural-other",
    "water-stuff": "fog, river, sea, waterdrops, water-other",
}
"""Coarse class → its labels, in the order of the coarse classes' numbers."""

COARSE: tuple[str, ...] = tuple(HIERARCHY)


def fine_to_coarse() -> np.ndarray:
    """(182,) int32: the coarse class of each pixel value."""
    coarse = {label: number for number, labels in enumerate(HIERARCHY.values()) for label in labels.split(", ")}
    return np.array([coarse[label] for label in LABELS], np.int32)
