"""Every format except the native one: a codec for each format, and what codecs share.

How `Dataset.export` writes:

exporting.py         `export` makes the folder, names and splits, and calls the codec
  coco.py            `write(export)` asks for each sample; `annotate` encodes a sample, in any process
    exporting.py     `written_masks`, `written_objects`: the shapes of a sample
  exporting.py       `Export.put` writes or links each file

How `Dataset.open` reads:

format_table.py      `recognise` finds the format; the table also names each format's options
drivers.py           `read_format` calls the codec with the options, in an `Import`
  coco.py            `read(source)` collects what the set says about each picture, a `Labelled` (painting.py), with
                     its shapes or its label map; `Import.shapes_of` or `Import.masks_of` makes `Contents` of them
    set_files.py     `SetFiles` reads files; nothing else does. Lists of parts are read here, too
  drivers.py         `Import.shapes_of` finds classes and objects; `Import.samples_of` finds pictures and parts
    set_files.py     `PictureFinder` finds the file of each picture; names of samples; turned pictures
    painting.py      `Labelled.to_sample` makes the sample; `paint` paints its shapes when it is read

The codecs:

voc.py, coco.py, yolo.py              formats of training code
cvat.py, labelstudio.py, labelme.py      formats of tools in which people correct masks
masks.py, public_sets.py                 pictures and PNG masks in folders, and public data sets
trainer.py, cutouts.py                   masks for trainers of LoRAs, and pictures with transparency: only written
"""
