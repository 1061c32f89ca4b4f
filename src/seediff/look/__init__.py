"""`seediff look`: a page in the browser that shows a dataset and how its masks were made, and where a person corrects
them.

    store              people's actions, and the state of each sample that follows from them
    index              filters and sorts the samples
    jobs               changes many samples
    answers            answers requests: functions of the store and the request
    attention          the attention of the samples; masks with other constants
    attention_answers  answers requests about attention
    sample_pictures    pictures of samples

`app` says which answer belongs to which address of the page, `gate` keeps everybody else out, and `serve` runs the
server. `events` has what all requests share.

The page is in `static/`. `main.js` shows one of two views, and keeps the `address`:

    browse   the grid     filters (histogram), grid (tiles), bulk (jobs)
    sample   one sample   stage (the picture; pen), tools, polygon, segments (what the pointer does; paint),
                          classes, objects, attention (why this mask)

Both send `changes`, one after another. `samples`, `set`, `page`, `keys` and `api` serve them all.
"""
