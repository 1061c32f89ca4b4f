"""Measures label maps and segments against labels, by the protocols of the papers.

evaluation.py is `seediff evaluate`, and segments.py is `seediff evaluate segments`. `Dataset.open`
opens the labelled images, and predictors.py opens what is compared with them. protocols.py has the classes of each
published comparison. semantic.py turns pairs of label maps into counts, and counts into rows of figures with intervals;
a new figure is added to these rows. figures.py makes tables and JSON of them, and tables.py writes
tables for the terminal, LaTeX, CSV and Markdown, and orders their rows. page.py draws the page, and ranks the images.
"""
