"""A model that answers for any image: preprocessing of its config, batches, results of one kind."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope

from ..config.description import check_types
from ..config.tree import innermost
from ..data.dataset import build_dataset
from ..errors import UserError
from ..show.colours import Colour
from ..show.overlay import least_score
from .result import Result, encoded
from .sources import Photo, Source, UnreadableImage, find_sources

COLOURS = ('color', 'color_ignore_orientation')


class Predictor:
    """A detector or a segmentor with its weights, ready to predict; `vitdense.load` makes it.

    Attributes:
        model: the network, in evaluation; its batch norms may be folded.
        cfg: its config.
        classes: their names.
        palette: their colours, RGB.
        name: of the config.
        uncovered: says why images of a height and width are not computed; '' where they are. An exported
            file computes those that its certificate covers.
    """

    uncovered: Callable[[int, int], str] = staticmethod(lambda height, width: '')

    def __init__(
        self, model: Any, cfg: Config, classes: tuple[str, ...], palette: tuple[Colour, ...], name: str
    ):
        self.model, self.cfg, self.name = model.eval(), cfg, name
        self.classes, self.palette = classes, palette
        self._pipelines: dict[Any, Compose] = {}
        self._bits: int | None = None  # of images of 16 bits
        self._pipeline(None)  # which may be none that can be used here

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.name}, {len(self.classes)} classes, {self.device})'

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def finds_label_maps(self) -> bool:
        """Whether it is a segmentor."""
        return hasattr(self.model, 'decode_head')

    @property
    def score(self) -> float:
        """From which on objects are kept, unless `predict` says otherwise."""
        return least_score(self.model)

    def predict(
        self,
        source: Any,
        size: int | None = None,
        score: float | None = None,
        batch: int = 1,
        tile: int | None = None,
    ) -> list[Result]:
        """What the model finds in each image, in their order.

        Args:
            source: a path, a folder, a pattern, a video, the bytes of an image file, an image of Pillow, an
                array (H, W, 3) of uint8 in **RGB** (OpenCV's are BGR: `image[..., ::-1]`), a tensor (3, H,
                W) in RGB of uint8 or of floats from 0 to 1, or a list of these.
            size: pixels of the shorter side that images are resized to, at most: the config's largest sizes
                in proportion; by default those of its tests.
            score: the least of the objects that are kept; 0 for all that the config's test_cfg keeps; by
                default 0.4, and 0.7 for heads of regions, such as Mask R-CNN's.
            batch: how many images are computed together. Only images that are equally large after the resize
                are, so that it does not change what is found.
            tile: pixels of the side of tiles that a larger image is cut into, with overlap; each is
                predicted as an image by itself.

        Raises:
            UserError: a source that cannot be read, an image that the model cannot take, or a camera, which
                does not end: `stream` is for it.
        """
        sources = find_sources(source)
        if any(one.is_camera for one in sources):
            raise UserError('a camera does not end: `for result in model.stream(0)` takes its frames')
        return list(self.stream(sources, size, score, batch, tile))

    def stream(
        self,
        source: Any,
        size: int | None = None,
        score: float | None = None,
        batch: int = 1,
        tile: int | None = None,
        on_error: Any = None,
    ) -> Iterator[Result]:
        """As `predict`, one after the other, for videos, cameras and folders of any length.

        Args:
            source: as for `predict`, or the number of a camera, or what `find_sources` returns.
            size: as for `predict`.
            score: as for `predict`.
            batch: as for `predict`.
            tile: as for `predict`.
            on_error: called with the error of a source that cannot be read, which is then left out; by
                default, the error is raised.
        """
        return self._stream(find_sources(source), size, score, batch, tile, on_error)

    def _stream(
        self,
        sources: list[Source],
        size: int | None,
        score: float | None,
        batch: int,
        tile: int | None,
        on_error: Any,
    ) -> Iterator[Result]:
        least = self.score if score is None else score
        for name, value, lowest in (('size', size, 1), ('batch', batch, 1), ('tile', tile, 32)):
            if value is not None and value < lowest:
                raise UserError(f'{name}={value}: expected {lowest} or more')
        if not 0 <= least <= 1:
            raise UserError(f'score={score}: expected 0 to 1')
        if tile:
            from .tiles import predict_tiles

            for photo in _read(sources, self._bits, on_error):
                try:
                    result = predict_tiles(self, photo, tile, size, least, batch)
                except UnreadableImage as error:
                    _left_out(error, on_error)
                else:
                    yield result
            return
        items = self._prepared(read_ahead(_read(sources, self._bits, on_error), batch), size, on_error)
        while group := list(islice(items, batch)):
            yield from self._answers(group, least)

    def _prepared(
        self, photos: Iterable[Photo], size: int | None, on_error: Any
    ) -> Iterator[tuple[Photo, dict]]:
        for photo in photos:
            try:
                item = self.prepare(photo, size)
            except UnreadableImage as error:
                _left_out(error, on_error)
            else:
                yield photo, item

    def prepare(self, photo: Photo, size: int | tuple[int, int] | None = None) -> dict[str, Any]:
        """What the config's pipeline makes of an image: `inputs` and `data_samples`.

        Args:
            photo: the image.
            size: as for `predict`, or (W, H) to resize to.

        Raises:
            UnreadableImage: it makes nothing of an image of this size.
        """
        height, width = photo.image.shape[:2]
        loaded = dict(
            img=cv2.cvtColor(photo.image, cv2.COLOR_RGB2BGR),
            img_path=photo.name,
            img_id=0,
            img_shape=(height, width),
            ori_shape=(height, width),
            height=height,
            width=width,
        )
        try:
            with scope_of(self.cfg):
                item = self._pipeline(size)(loaded)
        except Exception as error:  # of OpenCV, of a transform
            raise UnreadableImage(
                f'{photo.name}: the preprocessing takes no image {height} pixels high and {width} wide ('
                f'{" ".join(str(error).split())[-80:]})'
            ) from error
        if 0 in item['inputs'].shape:
            raise UnreadableImage(
                f'{photo.name}: {height} × {width} pixels: nothing is left after the resize'
            )
        if reason := self.uncovered(*item['inputs'].shape[1:]):
            raise UnreadableImage(f'{photo.name}: after the resize, it is {reason}; size=N resizes otherwise')
        return item

    def answer(self, photo: Photo, size: int | tuple[int, int] | None, score: float) -> Result:
        """What is found in one image, as for `predict`."""
        return next(self._answers([(photo, self.prepare(photo, size))], score))

    def _answers(self, group: list[tuple[Photo, dict]], least: float) -> Iterator[Result]:
        """Those that are equally large are computed together."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for number, (_, item) in enumerate(group):
            alike.setdefault(tuple(item['inputs'].shape), []).append(number)
        answers: dict[int, Result] = {}
        for numbers in alike.values():
            items = [group[number][1] for number in numbers]
            data = dict(
                inputs=[item['inputs'] for item in items],
                data_samples=[item['data_samples'] for item in items],
            )
            with scope_of(self.cfg), torch.no_grad():
                samples = self.model.test_step(data)
            for number, sample in zip(numbers, samples, strict=True):
                answers[number] = self._result(group[number][0], sample, least)
        yield from (answers[number] for number in range(len(group)))

    def _result(self, photo: Photo, sample: Any, least: float) -> Result:
        common: dict[str, Any] = dict(
            name=photo.name, image=photo.image, classes=self.classes, palette=self.palette, frame=photo.frame
        )
        if 'pred_sem_seg' in sample:
            label_map = sample.pred_sem_seg.data[0].cpu().numpy()
            return Result(
                boxes=np.zeros((0, 4), np.float32),
                scores=np.zeros(0, np.float32),
                labels=np.zeros(0, np.int64),
                label_map=label_map.astype(np.uint8 if len(self.classes) <= 256 else np.uint16),
                **common,
            )
        found = sample.pred_instances
        kept = torch.nonzero(found.scores >= least)[:, 0]
        found = found[kept[found.scores[kept].argsort(descending=True, stable=True)]].cpu()
        boxes = getattr(found.bboxes, 'tensor', found.bboxes)
        return Result(
            boxes=boxes.float().numpy().reshape(-1, 4),
            scores=found.scores.float().numpy(),
            labels=found.labels.long().numpy(),
            run_lengths=encoded(found.masks.numpy()) if 'masks' in found else None,
            **common,
        )

    def _pipeline(self, size: int | tuple[int, int] | None) -> Compose:
        """The test pipeline for images that are loaded already and have no annotations."""
        if size not in self._pipelines:
            cfg = self.cfg
            if size is not None:
                from ..data.own_sizes import test_size

                cfg = test_size(cfg, size)
            steps = innermost(cfg.test_dataloader)[1]['pipeline']
            self._pipelines[size], self._bits = _without_files(steps, self.cfg)
        return self._pipelines[size]


def scope_of(cfg: Config) -> Any:
    """While names mean what they mean in the library of this config."""
    return DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine')


def tested_images(cfg: Config) -> Any:
    """The dataset that a config tests on, of a checkpoint too, whose types are checked first."""
    check_types(cfg)
    with scope_of(cfg):
        return build_dataset(cfg.test_dataloader.dataset)


def _without_files(pipeline: Iterable[dict], cfg: Config) -> tuple[Compose, int | None]:
    """A pipeline without its loaders, and the bits that they take of images of 16 bits."""
    steps: list[Any] = []
    bits = None
    with scope_of(cfg):
        for config in pipeline:
            step = TRANSFORMS.build(config)
            if isinstance(step, LoadImageFromFile):
                if step.color_type not in COLOURS:
                    raise UserError(
                        f'the pipeline loads images as {step.color_type!r}; predict reads them in colour'
                    )
                bits = getattr(step, 'bits', None)
                if step.to_float32:
                    steps.append(_to_float32)
            elif not isinstance(step, LoadAnnotations):
                steps.append(step)
    return Compose(steps), bits


def _to_float32(loaded: dict) -> dict:
    return dict(loaded, img=loaded['img'].astype(np.float32))


def _read(sources: Iterable[Source], bits: int | None, on_error: Any) -> Iterator[Photo]:
    for source in sources:
        try:
            yield from source.photos(bits)
        except UnreadableImage as error:
            _left_out(error, on_error)


def _left_out(error: UnreadableImage, on_error: Any) -> None:
    if on_error is None:
        raise error
    on_error(error)


def read_ahead(photos: Iterator[Photo], count: int) -> Iterator[Photo]:
    """The photos, of which so many are read while others are computed.

    Only read: torch has other threads for a second thread, beside which a model takes a quarter longer.
    """
    with ThreadPoolExecutor(1) as reader:
        coming = deque(reader.submit(next, photos, None) for _ in range(count))
        while (photo := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, photos, None))
            yield photo
