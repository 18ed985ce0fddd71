"""The project's own configs: beside the package in a clone, inside it where a wheel is installed."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """The folder of the configs."""
    inside = (
        PACKAGE / 'configs'
    )  # in a clone a link, so that `from vitdense.configs.pspnet_pit import *` finds it
    return inside.resolve() if inside.is_dir() else PACKAGE.parent / 'configs'


def config_names() -> list[str]:
    """Their names, without `.py`: `mask_rcnn_pit`, …."""
    return sorted(path.stem for path in config_folder().glob('*.py') if path.stem != '__init__')


def bundled_config(name: str) -> Path | None:
    """The config of a bare name, such as `retinanet_transcnn` or `retinanet_transcnn.py`, or None."""
    if Path(name).name != name:
        return None
    path = config_folder() / f'{name.removesuffix(".py")}.py'
    return path if path.is_file() else None
