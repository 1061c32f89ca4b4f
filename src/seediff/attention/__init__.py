"""Capture: reads a diffusion model's attention while it draws an image (draw.py) or is shown a photograph
(see_photos.py), of which windows.py says what part the model sees.

The result is one `AttentionMaps` (maps.py) per image: everything that the methods in `masks` and most in `segments`
need."""
