"""Every format but the native one, out and in: those of training code (VOC, COCO, YOLO, Ultralytics, parquet, WebDataset, imagefolder) and
of tools in which people correct masks (CVAT, Label Studio, FiftyOne, Roboflow)."""
