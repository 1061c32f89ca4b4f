"""Draws pictures from arrays: overlays.py of masks and attention, in the colours of colours.py; charts.py of scores;
shown.py makes what notebooks and pages show of a result."""
