"""The version of the package. Whatever SeeDiff writes names it."""

__version__ = "0.1.0"
