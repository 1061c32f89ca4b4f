"""For use in scripts: the attention of a pipeline that a script runs, and masks and segments of single pictures in
memory (single_image.py).

Files of `capture`, in the order in which they act:

    capture.py        `capture(pipe)`: the contract; connects the parts below
    plan.py           the pipeline's networks, what is captured of them, and the constants of its masks
    recording.py      `Recording`: is called by the pipeline and its network; makes `Picture`s
    which_columns.py  `ReadText`: a text as the network read it, and which columns a word has
    pictures.py       the pictures that the pipeline returned; `Picture`; `Drawn`, one of them with all that results are
                      made from
    captured.py       `Captured`: what `capture` gives to the script. It finds a `Drawn`, and calls functions of
                      results.py

Words that these files use:

    state     the encoding of a text, which the network is given: one vector for each column
    column    the place of one token, or of padding, in a text. A word has the columns of its tokens
    row       one member of the network's batch: one picture with one text. With guidance, the network predicts each
              picture with the prompt and without it (or with the negative prompt), in two rows or in two calls
    position  one of the places of a picture that attend to the text and to each other, for example 8 × 8 pixels
    L         the size of the finest lattice of positions, (height, width). Maps at level 2 have half of it, L/2
    frame     one picture of a clip. The network works on fewer latent frames: each becomes one or more frames

A text on its way: the script's own (`Named`), or the pipeline's (`Texts`), with what it is encoded to (`Encoded`, in
attention/which_rows.py); then as each tokenizer reads it (`TokenizedPrompt`), all of which are one `ReadText`.
"""
