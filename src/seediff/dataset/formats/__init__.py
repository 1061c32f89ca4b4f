"""Every format except the native one: one codec per format, and what codecs share.

An export, from `Dataset.as_coco`:

drivers.py                        `export` makes the folder, names and splits, and calls the codec
  coco.py                         `write(export)`: for each sample, `encode` makes its part of them (in any process)
    painting.py                   `masks_of`: the masks of a sample
  drivers.py                      `Export.put` writes or links each file

An import, from `Dataset.open`:

format_table.py                   `recognise` finds the format
drivers.py                        `read_format` calls the codec
  coco.py                         `read(source)`: a `PictureRecord` for each picture that the files name
    coco_data.py, yolo_data.py, labelstudio_data.py    what the files of these formats say
  drivers.py                      `Import.samples_of` makes samples of records
    pictures.py                   `PictureFinder`: the file of each picture; samples' names; turned pictures
    painting.py                   `Shapes`: paints the record's shapes, when the sample is read

The codecs:

voc.py, coco.py, panoptic.py, yolo.py    formats of training code
cvat.py, labelstudio.py, labelme.py      formats of tools in which people correct masks
masks.py, public_sets.py                 pictures and PNG masks: Ultralytics' folders, and others that are only read
cutouts.py                               pictures with transparency, which are only written
"""
