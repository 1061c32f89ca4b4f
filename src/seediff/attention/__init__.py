"""Capture: reads a diffusion model's attention while it draws an image (generate.py) or is shown a photograph (photograph.py).

What comes out is `AttentionMaps` (maps.py), one per image: all that the methods of `masks` and most of `segments` need."""
