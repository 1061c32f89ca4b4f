"""Studies: measures methods on the embedded model's scenes, whose exact masks are known.

masks/      masks of every method against exact ones: truth, generated, presence, confidence
segments/   segments without classes against exact ones and against photographs' labels
results.py  results as Markdown, CSV and JSON
"""
