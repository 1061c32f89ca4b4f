"""Draws pictures from arrays: overlays.py of masks and attention, charts.py of scores; shown.py makes what notebooks
and pages show of a result."""
