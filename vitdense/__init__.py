"""Light vision transformers as backbones for detection and segmentation.

Importing the package registers everything with MMEngine:
`custom_imports = dict(imports=['vitdense'])` is all that a config needs.
"""

__version__ = '0.1.0'
