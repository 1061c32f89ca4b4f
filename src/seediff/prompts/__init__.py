"""From class names to prompts, and from prompts to tokens.

specs.py   classes, prompt and seed of each sample in a run
tokens.py  which tokens of a prompt belong to which class
"""
