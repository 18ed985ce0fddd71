"""The proof that an exported file carries: what it was compared with, at which sizes, how far it was off.

It is JSON, inside the file and beside it as `<file>.json`. Its digest is that of the file with the digest's
own characters as zeros: a file whose weights, or anything else, were changed afterwards is recognised.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import UserError

VERSION = 1
KEY = 'vitdense'  # under which a file holds it
ENTRY = f'extra/{KEY}.json'  # of an archive of torch
NO_DIGEST = '0' * 64


@dataclass
class Certificate:
    """What is known of an exported file.

    Attributes:
        description: of the model, as a checkpoint carries it (`config/description.py`).
        classes, palette: their names and colours.
        kind: 'features', 'raw', 'boxes', 'masks' or 'logits'.
        outputs: names of the tensors, in order.
        precision: 'float32', 'bfloat16' or 'int8'.
        resize: what the config's tests resize an image to before: pixels of the `longer` and of the
            `shorter` side, at most, or exactly without `keep_ratio`.
        heights, widths, batches: least and largest that were compared.
        source: of the weights: file and sha256, or 'random'.
        comparisons: one for each runtime, size and batch: the worst difference of any output in standard
            deviations, or of matched objects.
        worst: of all of them.
        scores: of the eager model and of the file, on which data.
        seconds: of one image, eager and by the file, and its size.
        price: of a lower precision: score, size and time beside float32's.
        versions: of what wrote and compared it.
        digest: of the file.
    """

    description: dict[str, Any]
    classes: list[str]
    palette: list[list[int]]
    kind: str
    outputs: list[str]
    precision: str
    resize: dict[str, Any]
    heights: list[int]
    widths: list[int]
    batches: list[int]
    source: dict[str, str]
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    worst: float = 0.0
    scores: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, Any] = field(default_factory=dict)
    price: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    digest: str = NO_DIGEST
    version: int = VERSION

    def covers(self, height: int, width: int) -> str:
        """Why images of this size are not covered; '' where they are."""
        for name, length, (least, most) in (('high', height, self.heights), ('wide', width, self.widths)):
            if not least <= length <= most:
                covered = ' × '.join(
                    f'{low} to {high}' if low < high else f'{low}'
                    for low, high in (self.heights, self.widths)
                )
                return f'{length} pixels {name}: the certificate covers {covered} (H × W)'
        return ''

    def to_json(self) -> str:
        return json.dumps(_tagged(asdict(self)), ensure_ascii=True, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, file: str | Path) -> 'Certificate':
        """
        Raises:
            UserError: it is damaged, or of another version.
        """
        try:
            entries = _untagged(json.loads(text))
            version = entries['version']
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(f'{file}: its certificate is damaged') from error
        if version != VERSION:
            raise UserError(
                f'{file}: its certificate is of version {version!r}; this vitdense reads {VERSION}'
            )
        if entries.keys() != {one.name for one in fields(cls)}:
            raise UserError(f'{file}: its certificate is damaged')
        return cls(**entries)


def _tagged(value: Any) -> Any:
    """Tuples, which JSON does not know, under a name."""
    if isinstance(value, tuple):
        return {'tuple': [_tagged(one) for one in value]}
    if isinstance(value, list):
        return [_tagged(one) for one in value]
    return {key: _tagged(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(one) for one in value]
    if isinstance(value, dict):
        if value.keys() == {'tuple'}:
            return tuple(_untagged(one) for one in value['tuple'])
        return {key: _untagged(one) for key, one in value.items()}
    return value


# ---- in files ---------------------------------------------------------------------------------------------


def read_certificate(file: str | Path, text: str | None) -> Certificate:
    """The certificate of a file, which is as it was when it was certified.

    Args:
        file: its path.
        text: of the certificate, as the file's runtime reads it.

    Raises:
        UserError: a file without a certificate, or one that was changed after it got it.
    """
    file = Path(file)
    if text is None:
        raise UserError(
            f'{file}: has no certificate of vitdense; `vitdense export` writes files that have one, and '
            '`vitdense benchmark` times others'
        )
    certificate = Certificate.from_json(text, file)
    if certificate.digest != digest(file):
        raise UserError(
            f'{file}: is not the file that was certified: its weights or its graph were changed since; '
            'export it anew'
        )
    return certificate


def digest(file: Path, coming: str = '') -> str:
    """sha256 of a file and of the one with its weights, with the digest in its certificate as zeros.

    Args:
        file: the file.
        coming: the certificate of an archive of torch that does not have it yet; it cannot be changed there.
    """
    sums = hashlib.sha256()
    if file.suffix == '.pt2':
        with zipfile.ZipFile(file) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(ENTRY):
                    coming = archive.read(name).decode()
                else:
                    sums.update(name.encode())
                    sums.update(archive.read(name))
        sums.update(without_digest(coming.encode()))
        return sums.hexdigest()
    sums.update(without_digest(file.read_bytes()))
    if file.suffix == '.xml':
        weights = file.with_suffix('.bin')
        if not weights.is_file():
            raise UserError(f'{file}: {weights.name}, which has its weights, is not beside it')
        sums.update(weights.read_bytes())
    return sums.hexdigest()


DIGEST = re.compile(rb'((?:"|&quot;)digest(?:"|&quot;): (?:"|&quot;))[0-9a-f]{64}')


def without_digest(content: bytes) -> bytes:
    return DIGEST.sub(rb'\g<1>' + NO_DIGEST.encode(), content)


def with_digest(content: bytes, found: str) -> bytes:
    return DIGEST.sub(rb'\g<1>' + found.encode(), content)
