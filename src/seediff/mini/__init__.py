"""Scenes like the embedded model's pictures, with exact masks (scenes.py)."""
