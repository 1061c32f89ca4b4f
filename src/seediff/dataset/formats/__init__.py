"""Every format but the native one, out and in: VOC, COCO, YOLO, parquet and WebDataset."""
