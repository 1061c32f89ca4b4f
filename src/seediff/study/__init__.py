"""Studies that measure methods on the embedded model's scenes, whose exact masks are known.

masks/      masks of every method against exact masks: truth, generated, presence, confidence, flags
segments/   segments without classes against exact segments and against photographs' labels
results.py  results as Markdown, CSV and JSON
"""
