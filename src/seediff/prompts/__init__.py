"""From class names to prompts, and from prompts to tokens.

specs.py   classes, prompt and seed of each sample in a run; templates with places, light and points of view
tokens.py  which tokens of a prompt belong to which class
"""
