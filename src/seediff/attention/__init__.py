"""From a model to `AttentionMaps`: attention read while images are drawn (generate.py) or photographs are looked at (photograph.py)."""
