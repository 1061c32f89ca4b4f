"""Support for `recipes/renew.py`: which command makes which output of the docs, and from which ingredients."""
