"""`seediff look`: a page in the browser that shows a dataset and how its masks were made, and where a person corrects
them.

    store              people's actions, each sample's state, and what the page knows of it (`for_page`)
    answers            answers requests: functions of the store and the request
    attention          the attention of the samples; masks with other constants
    attention_answers  answers requests about attention
    sample_pictures    pictures of samples
    gate               who may ask
    serve              the server, and its end; which answer belongs to which address of the page

The page is in `static/`. It has the states of all samples, so it filters, sorts and counts them itself, and sends
changes of many samples in parts. `main.js` shows one of two views, and keeps the `address`:

    browse   the grid     filters (histogram), index (which samples match, and their numbers), grid (tiles),
                          bulk (many samples)
    sample   one sample   stage (the picture; pen), tools, polygon, cut, segments (what the pointer does; paint),
                          classes, objects, attention (why this mask)

Both send `changes`, one after another. `samples`, `set`, `page`, `keys` (the table of keys) and `api` serve them all.
"""
