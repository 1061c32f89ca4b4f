"""From class names to prompts, and from prompts to tokens.

specs.py     classes, prompt and seed of each sample of a run
captions.py  words that may name something, in captions beside photographs
tokens.py    which tokens of a prompt belong to which class
"""
