"""The names that `import vitdense` gives to MMEngine, without torch, which takes seconds to import.

A name stands for a placeholder, which imports the class and builds it. Once the class is imported, it takes
the placeholder's place in the registry: hence `force=True` where the classes are registered.
"""

from importlib import import_module
from typing import Any

from mmengine.registry import MODELS, WEIGHT_INITIALIZERS

from .backbones import __all__ as BACKBONES

NAMES = {
    MODELS: dict.fromkeys(BACKBONES, 'vitdense.backbones')
    | {'ExtraLevelFPN': 'vitdense.necks'}
    | dict.fromkeys(('HierarchicalAttention', 'VicinityAttention', 'PluggedBackbone'), 'vitdense.plugins'),
    WEIGHT_INITIALIZERS: {'Released': 'vitdense.checkpoint'},
}


def register() -> None:
    """Register the placeholders.

    Raises:
        KeyError: another class has one of the names.
    """
    for registry, names in NAMES.items():
        for name, module in names.items():
            registry.register_module(name=name, module=_placeholder(name, module))


def import_all() -> None:
    """Import every class, so that the registries hold no placeholder."""
    for names in NAMES.values():
        for name, module in names.items():
            getattr(import_module(module), name, None)


def _placeholder(name: str, module: str) -> type:
    """A class, of which MMCV takes the name of a plug-in; what it builds is not of this class."""

    def build(_: type, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(module), name)(*args, **kwargs)

    return type(name, (), dict(__new__=build, __module__=module))
