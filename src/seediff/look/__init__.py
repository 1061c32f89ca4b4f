"""`seediff look`: a page in the browser that shows a dataset and how its masks came about, and takes corrections of them.

`subject` opens what is looked at, `index` filters and sorts it, `session` keeps what people decide, `why` and `tuning` make maps and masks
from attention, `app` and `answers` answer the page (`static/`) with what is in `shared`, `gate` lets nobody else in, and `serve` runs it
all.
"""
