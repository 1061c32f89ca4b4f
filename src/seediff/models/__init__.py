"""Models by name (registry.py), their families (`families/`), weight files and fingerprints, and the embedded model's
weights.
"""
