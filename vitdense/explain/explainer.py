"""The pictures of a trained model, one at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from matplotlib.figure import Figure

from ..backbones.supervit import SuperViT
from ..backbones.vvt import VVT
from ..dials import DialSetting
from ..engine.precision import exact_networks
from ..errors import UserError
from ..model_state import in_mode
from ..predict.predictor import Predictor
from ..predict.sources import Photo
from .choose import PLACES, places_found
from .distance import ByDistance, average, by_distance
from .figure import attention_figure, distance_figure, kept_figure, receptive_field_figure
from .kept import DIALS, at_dials, kept_tokens
from .maps import BACKBONES, attention_sheet, title_of
from .receptive_field import DRAWS, first_pixels, receptive_fields
from .record import Record, record
from .view import Place, View

KINDS = ('attention', 'tokens', 'distance', 'receptive_field')


class Explainer:
    """Looks into the backbone of a trained model, which stays as it is.

    Attributes:
        kinds: the pictures that fit it, of `KINDS`.

    Args:
        predictor: the model.
        size: pixels of the shorter side, as for `predict`.

    Raises:
        UserError: its backbone is none of this package.
    """

    def __init__(self, predictor: Predictor, size: int | None = None):
        backbone = predictor.model.backbone
        if not isinstance(backbone, BACKBONES):
            raise UserError(
                f'{predictor.name}: its backbone is a {type(backbone).__name__}; expected one of vitdense'
            )
        self.predictor, self.backbone, self.size = predictor, backbone, size
        fits: dict[str, Any] = {'tokens': SuperViT, 'distance': VVT}
        self.kinds = [kind for kind in KINDS if isinstance(backbone, fits.get(kind, BACKBONES))]

    @property
    def title(self) -> str:
        """The backbone, as its paper calls it."""
        return title_of(self.backbone)

    @contextmanager
    def _as_it_is(self) -> Iterator[None]:
        """While its backbone runs in evaluation and, also after a training in mixed precision, in float32."""
        mixed = bool(self.predictor.cfg.get('amp'))
        exact = exact_networks(self.predictor.model) if mixed else nullcontext()
        with exact, in_mode(self.backbone, training=False):
            yield

    def view(self, photo: Photo) -> View:
        """A photo as the backbone gets it."""
        return View.of(self.predictor, photo, self.size)

    def places(self, photo: Photo, most: int = PLACES) -> list[Place]:
        """Where the model finds something."""
        return places_found(self.predictor.answer(photo, self.size, self.predictor.score), most)

    def record(self, view: View) -> Record:
        """One forward pass, SuperViT's with all its tokens."""
        with self._as_it_is():
            if isinstance(self.backbone, SuperViT):
                with at_dials(self.backbone, DialSetting(1, 1)):
                    return record(self.backbone, view.image)
            return record(self.backbone, view.image)

    def attention(self, view: View, seen: Record, places: Sequence[Place]) -> Figure:
        """From places of a photo."""
        for place in places:
            view.check(place)
        return attention_figure(attention_sheet(self.backbone, seen, view, places), view, places)

    def tokens(self, view: View, settings: Sequence[DialSetting] = DIALS) -> Figure:
        """Which patches SuperViT keeps of a photo."""
        assert isinstance(self.backbone, SuperViT)
        with self._as_it_is():
            kept = kept_tokens(self.backbone, view, settings)
        return kept_figure(kept, view, 'SuperViT: the patches that go on')

    def by_distance(self, seen: Record) -> list[ByDistance]:
        """Of VVT's weights on one photo."""
        assert isinstance(self.backbone, VVT)
        return by_distance(self.backbone, seen)

    def distance(self, images: Sequence[Sequence[ByDistance]]) -> Figure:
        """Of several photos together."""
        return distance_figure(average(images), 'VVT: effective weight by distance')

    def receptive_field(self, views: Sequence[View], draws: int = DRAWS) -> Figure:
        """Of each map, the mean over photos, without the padding of a detector."""
        backbone = self.backbone
        with self._as_it_is():
            fields = receptive_fields(
                backbone, backbone.strides, first_pixels(backbone), (view.unpadded for view in views), draws
            )
        part = 'level' if isinstance(backbone, SuperViT) else 'stage'
        indices = zip(backbone.out_indices, backbone.strides, strict=True)
        names = [f'{part} {index + 1}, stride {stride}' for index, stride in indices]
        return receptive_field_figure(fields, names, f'{self.title}: effective receptive field')
