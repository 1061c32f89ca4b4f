"""Capture: reads a diffusion model's attention while it draws an image (draw.py), or while it is given a photograph
(see_photos.py) or a part of one (windows.py).

The result is one `AttentionMaps` (maps.py) per image. The methods in `masks`, and most methods in `segments`, need
nothing else."""
