"""Measures label maps and segments against labels, by the protocols of the papers.

evaluation.py   `seediff evaluate`, and the scores of pairs of label maps; segments.py: `seediff evaluate segments`
predictors.py   opens what is compared with the labels, which `Dataset.open` opens
protocols.py    the classes of each published comparison
score_list.py   the scores as one list, from which tables, JSON files and charts are made
tables.py       writes tables for the terminal, LaTeX, CSV and Markdown
page.py         sentences about the scores, the page of the worst images, and the other files of an evaluation

A new measure is a row of MEASURES in metrics/scores.py.
"""
