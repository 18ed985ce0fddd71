"""Package metadata; the versions that the tests ran with are in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'vitdense/__init__.py').read_text()).group(1)

SUPERVISION = ['supervision>=0.31']  # for `predict --tile`, and `Result.to_supervision`
RUNTIMES = ['onnxruntime>=1.20', 'openvino>=2025.0']  # what runs exported files
EXPORT = [*RUNTIMES, 'onnx>=1.17', 'onnxscript>=0.5', 'nncf>=2.17']  # what writes them
# for `train --log`; what torch and MMEngine need of them
TRACKERS = {'tensorboard': ['tensorboard>=2.14'], 'wandb': ['wandb>=0.16'], 'mlflow': ['mlflow>=2.10']}
TEST = ['hypothesis>=6.100', 'playwright>=1.45', 'pytest>=8.0', 'pytest-xdist>=3.5']


class BuildWithConfigs(build_py):
    """A wheel has the configs inside the package; in a clone they lie beside it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for path in (HERE / 'configs').rglob('*.py'):
                target = Path(self.build_lib, 'vitdense', path.relative_to(HERE))
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(path), str(target))


setup(
    name='vitdense',
    version=VERSION,
    description='Light vision transformers as backbones for detection and segmentation',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['vitdense', 'vitdense.*']),
    package_data={'vitdense': ['py.typed'], 'vitdense.report': ['templates/*']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['vitdense=vitdense.cli:main']},
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.8',
        'torchvision>=0.23',
        'timm>=1.0.16',
        'safetensors>=0.4',
        'onedl-mmengine>=0.10.9',
        'onedl-mmcv>=2.3',  # brings OpenCV
        'onedl-mmdetection>=3.4.7',  # earlier ones need faster-coco-eval and do not say so
        'onedl-mmsegmentation>=1.3',
        'jinja2>=3.1',
        'matplotlib>=3.8',
        'numpy>=1.26',
        'pillow>=11.0',
        'psutil>=5.9',
        'pycocotools>=2.0.7',
        'pyyaml>=6.0',
        'rich>=13.0',
        'torchmetrics>=1.4',
    ],
    extras_require={
        'test': TEST,
        'runtimes': RUNTIMES,
        'export': EXPORT,
        'supervision': SUPERVISION,
        'trackers': [package for one in TRACKERS.values() for package in one],
        **TRACKERS,
        'dev': [
            *TEST,
            *EXPORT,
            *SUPERVISION,
            'import-linter>=2.0',
            'mypy>=1.15',
            'pre-commit>=3.5',
            'ruff>=0.17.5',
        ],
    },
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
)
