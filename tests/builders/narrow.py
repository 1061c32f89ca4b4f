"""Changes the published width, a constant in diffusers' converter of FLUX.1, to that of the twins."""

from types import FunctionType

PUBLISHED, NARROW = 3072, 32


def narrow_converters(monkeypatch):
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    table = SINGLE_FILE_LOADABLE_CLASSES["FluxTransformer2DModel"]
    published = table["checkpoint_mapping_fn"]
    assert PUBLISHED in published.__code__.co_consts
    constants = tuple(NARROW if value == PUBLISHED else value for value in published.__code__.co_consts)
    narrowed = FunctionType(published.__code__.replace(co_consts=constants), published.__globals__)
    monkeypatch.setitem(table, "checkpoint_mapping_fn", narrowed)
