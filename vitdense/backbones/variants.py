"""A variant of a backbone: its name in the paper, or a mapping of every field, checked."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any


def parse_variant(
    backbone: str, variants: Mapping[str, Mapping[str, Any]], arch: str | Mapping[str, Any]
) -> SimpleNamespace:
    """The fields of a variant.

    Args:
        backbone: the name that errors begin with.
        variants: of this backbone by name, all with the same fields.
        arch: name of a variant, in any case, or a mapping of every field.

    Raises:
        ValueError: unknown name; missing or unknown fields; fields that do not go together.
    """
    if isinstance(arch, str):
        if arch.lower() not in variants:
            raise ValueError(f'{backbone} has no arch {arch!r}; known: {", ".join(variants)}')
        return SimpleNamespace(**variants[arch.lower()])
    if not isinstance(arch, Mapping):
        raise ValueError(f'{backbone}: arch is a name or a mapping, not {arch!r}')
    example = next(iter(variants.values()))
    if arch.keys() != example.keys():
        raise ValueError(
            f'{backbone}: an arch mapping has exactly the keys {", ".join(example)}; '
            f'missing {sorted(example.keys() - arch.keys())}, unknown {sorted(arch.keys() - example.keys())}'
        )
    _check_lengths(backbone, example, arch)
    _check_heads(backbone, arch)
    return SimpleNamespace(**arch)


def _check_lengths(backbone: str, example: Mapping[str, Any], arch: Mapping[str, Any]) -> None:
    """A list has a value for every stage, and the other fields are no lists."""
    stages = _length(example.get('depths'))
    per_stage = [field for field in example if stages and _length(example[field]) == stages]
    lengths = {field: _length(arch[field]) for field in per_stage}
    if set(lengths.values()) - {stages}:
        raise ValueError(f'{backbone}: has {stages} stages; expected a value for each, got {lengths} values')
    for field in example:
        if _length(example[field]) is None and _length(arch[field]) is not None:
            raise ValueError(f'{backbone}: expected one value for {field}, got {arch[field]!r}')


def _check_heads(backbone: str, arch: Mapping[str, Any]) -> None:
    """The number of channels is a multiple of the number of heads, or of the channels of a head."""
    dims = arch.get('dims', [arch['dim']] if 'dim' in arch else [])
    heads = arch.get('heads')
    if 'head_dim' in arch and dims:
        key, uneven = 'head_dim', any(dim % arch['head_dim'] for dim in dims)
    elif dims and heads is not None:
        per_stage = heads if _length(heads) is not None else [heads] * len(dims)
        key, uneven = 'heads', any(dim % count for dim, count in zip(dims, per_stage, strict=True))
    else:
        return
    if uneven:
        raise ValueError(f'{backbone}: {key}={arch[key]} does not divide the channels {list(dims)}')


def _length(value: Any) -> int | None:
    """Of a list; None where `value` is none."""
    return len(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
