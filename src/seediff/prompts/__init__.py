"""From class names to prompts: captions, the specification of each sample, and which tokens of a prompt belong to which
class.
"""
