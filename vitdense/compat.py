"""What older versions of torch lack, each with the version that brings it and what there is before.

Backbones, necks, `mmcv_ops` and `checkpoint` run on torch 2.1 and newer, the tools on 2.5 and newer.
"""

import pickle
import tarfile
import zipfile
from _codecs import encode
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

SHARDING = '2.6'  # `torch.distributed.fsdp.fully_shard`


def has_torch(version: str) -> bool:
    """Whether torch is this version, such as '2.5', or a newer one."""
    return torch.torch_version.TorchVersion(torch.__version__) >= version


# 2.7; before, a graph is exported for maps that need no padding, or all need some, as the example does
is_exporting: Callable[[], bool] = getattr(torch.compiler, 'is_exporting', lambda: False)

# 2.3; before, by its private name
is_compiling: Callable[[], bool] = getattr(torch.compiler, 'is_compiling', torch._utils.is_compiling)


def runs_eagerly_on_cpu(x: Tensor) -> bool:
    """Whether what is computed from `x` runs as it is written, on a CPU: in no graph that is kept."""
    return x.device.type == 'cpu' and not is_exporting() and not is_compiling()


def sym_max(a: int, b: int) -> int:
    """The larger of two numbers that an export may hold as symbols.

    In torch 2.11 a compiled graph of fixed sizes breaks at torch's function of two integers.
    """
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else torch.sym_max(a, b)


def sym_min(a: int, b: int) -> int:
    """The smaller of two, as above."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else torch.sym_min(a, b)


# 2.10; in 2.5 and 2.8 a graph that recomputes counts a batch norm's batches twice
COMPILES_RECOMPUTATION = has_torch('2.10')


def has_bfloat16_products() -> bool:
    """Whether this CPU multiplies in bfloat16, but not by matrices, which are quick everywhere; 2.5."""
    vectors, tiles = (
        getattr(torch.cpu, f'_is_{name}_supported', lambda: False) for name in ('avx512_bf16', 'amx_tile')
    )
    return vectors() and not tiles()


def is_autocast_enabled(device: str) -> bool:
    """Of a type of device; 2.4, before by two functions."""
    if has_torch('2.4'):
        return torch.is_autocast_enabled(device)
    return torch.is_autocast_cpu_enabled() if device == 'cpu' else torch.is_autocast_enabled()


def uncompiled() -> AbstractContextManager:
    """In which what was compiled runs as it was written; 2.6, before it is compiled for what runs in it."""
    return torch.compiler.set_stance('force_eager') if has_torch('2.6') else nullcontext()


def raise_recompile_limit(least: int) -> None:
    """How many graphs of a function torch compiles; 2.7, before by another name."""
    config = torch._dynamo.config
    name = 'recompile_limit' if hasattr(config, 'recompile_limit') else 'cache_size_limit'
    setattr(config, name, max(getattr(config, name), least))


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The norm of all together; 2.6, before of their norms."""
    if has_torch('2.6'):
        return nn.utils.get_total_norm(tensors)
    return torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors] or [torch.tensor(0.0)]).norm()


def is_sharded(model: nn.Module) -> bool:
    """Whether torch's `fully_shard` has sharded it; 2.6, before no model is (`engine/sharded.py`)."""
    if not has_torch(SHARDING):
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


# ---- unpickling --------------------------------------------------------------------------------------------


def load_weights(path: Path, allow: list[Any]) -> Any:
    """`torch.load(weights_only=True)` on the CPU; `allow` is as `torch.serialization.safe_globals` has it.

    An allow-list with names for its objects takes 2.7. Before, torch's restricted unpickler is replaced by
    one that has the list and is as restricted; what else 2.7 refuses is refused, too.

    Raises:
        UnpicklingError: the file holds what is not allowed.
    """
    if has_torch('2.7'):
        allowed = torch.serialization.get_safe_globals()  # and stays so
        with torch.serialization.safe_globals([one for one in allow if one not in allowed]):
            return torch.load(path, map_location='cpu', weights_only=True)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            script = any(name.endswith('/constants.pkl') for name in archive.namelist())
    else:
        script = tarfile.is_tarfile(path)
    if script:
        raise pickle.UnpicklingError('neither TorchScript nor a tar file is loaded')
    names: dict[str, Any] = dict(
        item[::-1] if isinstance(item, tuple) else (_name(item), item) for item in allow
    )
    kind = type('Unpickler', (_Unpickler,), dict(allowed=names, known=_known_globals() | names))
    own = SimpleNamespace(Unpickler=kind, load=lambda file, **options: kind(file, **options).load())
    torchs: Any = torch.serialization
    before, torchs._weights_only_unpickler = torchs._weights_only_unpickler, own
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    finally:
        torchs._weights_only_unpickler = before


def _known_globals() -> dict[str, Any]:
    """Torch's own list, with what it has had since 2.4."""
    dtypes = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
    newer = {'_codecs.encode': encode, 'collections.Counter': Counter, 'torch.device': torch.device}
    return torch._weights_only_unpickler._get_allowed_globals() | dtypes | newer


def _name(thing: Any) -> str:
    return f'{thing.__module__}.{thing.__qualname__}'


_PythonUnpickler: Any = pickle._Unpickler  # whose parts have no types


class _Unpickler(_PythonUnpickler):
    """Python's, which finds and calls what is `known` by its name, and builds what is `allowed`."""

    allowed: dict[str, Any] = {}
    known: dict[str, Any] = {}
    dispatch: dict[int, Callable] = dict(_PythonUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if self.proto < 3:  # names of Python 2
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        found = self.known.get(f'{module}.{name}')
        if found is None:
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {module}.{name}')
        return found

    def _check(self, thing: Any, among: Iterable[Any]) -> None:
        if not any(thing is one for one in among):
            raise pickle.UnpicklingError(f'Unsupported class {thing}')

    def load_reduce(self) -> None:
        self._check(self.stack[-2], self.known.values())
        super().load_reduce()

    def load_newobj(self) -> None:
        self._check(self.stack[-2], (nn.Parameter, *self.allowed.values()))
        super().load_newobj()

    def load_build(self) -> None:
        thing, state = self.stack[-2], self.stack.pop()
        if type(thing) is Tensor:
            thing.set_(*state)
        elif type(thing) is OrderedDict:
            vars(thing).update(state)
        else:
            self._check(type(thing), (nn.Parameter, *self.allowed.values()))
            thing.__setstate__(state) if hasattr(thing, '__setstate__') else vars(thing).update(state)

    def refuse(self) -> None:
        raise pickle.UnpicklingError('Unsupported operand')

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    for _code in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4):
        dispatch[_code[0]] = refuse
