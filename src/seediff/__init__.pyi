# The public names, each with its home: type checkers read these lines, and `__getattr__` in __init__.py.
from .attention.maps import AttentionMaps as AttentionMaps
from .config.methods import MaskConfig as MaskConfig
from .config.runs import GenerateConfig as GenerateConfig
from .config.runs import MaskPhotosConfig as MaskPhotosConfig
from .config.runs import SegmentPhotosConfig as SegmentPhotosConfig
from .dataset.dataset import Dataset as Dataset
from .dataset.sample import Sample as Sample
from .errors import UserError as UserError
from .evaluate.evaluation import evaluate as evaluate_predictions
from .files.photo_files import find_photos as find_photos
from .masks.make_masks import make_masks as make_masks
from .masks.own_methods import register_method as register_method
from .models.families import register_family as register_family
from .models.registry import load_model as load_model
from .run.generate_job import generate as generate
from .run.mask_job import mask_photos as mask_photos
from .run.predict_job import predict as predict
from .run.segment_job import segment_photos as segment_photos
from .script.capture import capture as capture
from .script.single_image import mask as mask
from .script.single_image import segment as segment
from .train.predict import load_segmenter as load_segmenter
from .train.run import train_segmenter as train_segmenter

__all__ = ["evaluate_predictions"]  # the others are public by `NAME as NAME`
__version__: str
