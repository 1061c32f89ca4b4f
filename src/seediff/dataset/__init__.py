"""Datasets on disk: `native` is what `generate` writes; everything else is converted from it."""
