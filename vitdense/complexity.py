"""What a model costs: parameters, multiply-adds and activations, by part.

Counted where torch dispatches its operators, fused attention among them, so that nothing that a model calls
is missing; and on the meta device, where tensors have shapes and no numbers, so that no size takes memory.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from .errors import UserError

aten = torch.ops.aten
LAYERS = {aten.convolution, aten.mm, aten.addmm}  # a convolution's or a linear layer's
if (attention := getattr(aten, '_scaled_dot_product_flash_attention_for_cpu', None)) is not None:
    # torch before 2.15 does not count attention on the CPU
    flop_registry.setdefault(
        attention, lambda q, k, v, *args, **kwargs: sdpa_flop_count(q.shape, k.shape, v.shape)
    )
SIZES = dict(mmdet=(800, 1280), mmseg=(512, 512))


class Cost(NamedTuple):
    """Of one image.

    parameters: how many.
    layers: multiply-adds of convolutions and linear layers, the rule by which most papers count.
    attention: multiply-adds of products between activations.
    activations: elements that convolutions and linear layers put out.
    """

    parameters: int = 0
    layers: int = 0
    attention: int = 0
    activations: int = 0

    def __add__(self, other: 'Cost') -> 'Cost':  # type: ignore[override]  # costs add up, tuples are joined
        return Cost(*map(sum, zip(self, other, strict=True)))

    @property
    def multiply_adds(self) -> int:
        return self.layers + self.attention


class _Count(TorchDispatchMode):
    """Costs, without parameters, of all that runs inside: in all, and by the names of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = Cost()
        self.costs: dict[str, Cost] = defaultdict(Cost)
        self.running: list[str] = []  # modules, the innermost last

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        operator = func._overloadpacket
        if operator in flop_registry:
            multiply_adds = flop_registry[operator](*args, **(kwargs or {}), out_val=out) // 2
            layer = operator in LAYERS
            cost = Cost(0, multiply_adds, 0, out.numel()) if layer else Cost(0, 0, multiply_adds, 0)
            self.whole += cost
            path = self.running[-1].split('.') if self.running else []
            for depth in range(len(path)):  # containers too, which are never called themselves
                self.costs['.'.join(path[: depth + 1])] += cost
        return out


def cost(module: nn.Module, *inputs: Any) -> tuple[Cost, dict[str, Cost], Any]:
    """A module's cost, that of each module inside it by dotted name, in order of running, and its outputs."""
    inside = {name: part for name, part in module.named_modules() if name}
    count = _Count()
    hooks = []
    for name, part in inside.items():
        hooks += [
            part.register_forward_pre_hook(lambda *_, name=name: count.running.append(name)),
            part.register_forward_hook(lambda *_: count.running.pop() and None, always_call=True),
        ]
    try:
        with count, torch.no_grad():
            outputs = module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    order = dict.fromkeys([*count.costs, *inside])
    costs = {name: count.costs[name]._replace(parameters=_parameters(inside[name])) for name in order}
    return count.whole._replace(parameters=_parameters(module)), costs, outputs


def model_cost(cfg: Config, size: tuple[int, int] | None = None, stages: bool = False) -> dict[str, Cost]:
    """The cost of a config's model at inference, on one image, by part; auxiliary heads only train.

    A head that works on regions is counted for as many as the config's `test_cfg` lets through, for COCO
    1000 of the proposals and 100 of the detections.

    Args:
        cfg: of a detector or a segmentor.
        size: (H, W) of the image; as in the papers without it, (800, 1280) for a detector, (512, 512) for a
            segmentor.
        stages: the backbone by its children, not as one part.

    Raises:
        UserError: the model cannot be built or run so, or has parts that are not counted here.
    """
    scope = cfg.get('default_scope') or 'mmdet'
    init_default_scope(scope)
    try:
        model = _on_meta(cfg).eval()
        image = torch.empty(1, 3, *(size or SIZES[scope]), device='meta')
        costs = _part_costs(model, image, stages)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        what = f'{type(error).__name__}: {str(error).splitlines()[0]}'
        raise UserError(f'{cfg.filename}: its model cannot be counted ({what})') from error
    if uncounted := list(_uncounted(model, costs)):
        raise UserError(
            f'{cfg.filename}: {", ".join(uncounted)} of {type(model).__name__}: not counted here, and the '
            f'sum would lack it'
        )
    return costs


def _on_meta(cfg: Config) -> Any:
    try:
        with torch.device('meta'):
            return MODELS.build(cfg.model)
    except RuntimeError:  # MMDetection's Swin reads numbers while it is built
        return MODELS.build(cfg.model).to('meta')


def _part_costs(model: Any, image: Tensor, stages: bool) -> dict[str, Cost]:
    costs = {}
    costs['backbone'], inside, maps = cost(model.backbone, image)
    if stages:
        children = set(_children(model.backbone))
        named = {f'backbone.{name}': found for name, found in inside.items() if name in children}
        whole, named_costs = costs.pop('backbone'), sum(named.values(), Cost())
        costs |= named
        if whole != named_costs:  # what a backbone does between its children
            costs['backbone, rest'] = Cost(*map(int.__sub__, whole, named_costs))
    if getattr(model, 'neck', None) is not None:
        costs['neck'], _, maps = cost(model.neck, maps)
    for name in ('rpn_head', 'bbox_head', 'decode_head'):
        if getattr(model, name, None) is not None:
            costs[name], _, _ = cost(getattr(model, name), maps)
    if getattr(model, 'roi_head', None) is not None:
        costs |= _roi_costs(model, maps)
    return costs


def _uncounted(model: nn.Module, costs: Mapping[str, Cost]) -> Iterator[str]:
    """Parts with parameters that are in no entry, but for auxiliary heads."""
    parts = dict(model.named_children())
    if roi_head := parts.pop('roi_head', None):
        parts |= dict(roi_head.named_children())
    counted = {name.split('.')[0].split(',')[0] for name in costs} | {'auxiliary_head'}
    yield from (name for name, part in parts.items() if name not in counted and _parameters(part))


def cost_table(costs: Mapping[str, Mapping[str, Cost]]) -> Table:
    """The parts of each config, and their sum."""
    table = Table()
    table.add_column('')
    for column in ('parameters', 'multiply-adds: layers', 'with attention', 'activations'):
        table.add_column(column, justify='right')
    for name, parts in costs.items():
        table.add_row(Text(name, style='bold'))
        for part, (parameters, layers, attention, activations) in (
            *parts.items(),
            ('sum', sum(parts.values(), Cost())),
        ):
            giga = (f'{value / 1e9:.2f} G' for value in (layers, layers + attention))
            table.add_row(f'  {part}', f'{parameters / 1e6:.2f} M', *giga, f'{activations / 1e6:.1f} M')
        table.add_section()
    return table


def _roi_costs(model: Any, maps: Sequence[Tensor]) -> Iterator[tuple[str, Cost]]:
    head, limits = model.roi_head, model.test_cfg
    regions = dict(bbox=limits.rpn.max_per_img, mask=limits.rcnn.max_per_img)
    for kind, count in regions.items():
        if getattr(head, f'{kind}_head', None) is not None:
            extractor = getattr(head, f'{kind}_roi_extractor')
            size = extractor.roi_layers[0].output_size
            features = maps[0].new_empty(count, extractor.out_channels, *size)
            yield f'{kind}_head', cost(getattr(head, f'{kind}_head'), features)[0]


def _children(backbone: nn.Module) -> Iterator[str]:
    """Names of the children, and of a list among them of its members."""
    for name, child in backbone.named_children():
        if isinstance(child, nn.ModuleList):
            yield from (f'{name}.{i}' for i in range(len(child)))
        else:
            yield name


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
