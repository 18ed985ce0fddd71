"""Where certified files go; without a certificate, no file has its name."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..exported.certificate import Certificate
from .write import FORMATS

TABLE = 'certificates.md'


class Certified(NamedTuple):
    """A file with its certificate."""

    file: Path
    certificate: Certificate

    @property
    def line(self) -> str:
        """What a person wants to know of it."""
        one = self.certificate
        parts = [f'{size_of(self.file) / 1e6:.1f} MB']
        if one.precision == 'float32':
            unit = 'tolerances' if one.kind in ('boxes', 'masks') else 'standard deviations'
            parts.append(f'{one.worst:.1e} {unit} off in {len(one.comparisons)} comparisons')
            if one.kind in ('boxes', 'masks'):
                parts.append(f'{sum(each["objects"] for each in one.comparisons)} objects matched')
        scores = one.scores
        if scores:
            names = ', '.join(
                f'{name} {value:.3f} ({scores["eager"][name]:.3f} in torch)'
                for name, value in scores['exported'].items()
            )
            parts.append(f'{names} on {scores["images"]} images')
        parts.append(
            f'{one.seconds["file"] * 1e3:.0f} ms an image ({one.seconds["torch"] * 1e3:.0f} in torch)'
        )
        if one.price:
            megabytes, milliseconds = one.price['float32_bytes'] / 1e6, one.price['float32_seconds'] * 1e3
            names = ', '.join(f'{name} {value:.3f}' for name, value in one.price['float32'].items())
            parts.append(f'in float32 {names}, {megabytes:.1f} MB, {milliseconds:.0f} ms')
        return ', '.join(parts)


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A folder for files that have no certificate yet; it is gone afterwards, whatever happens.

    Raises:
        UserError: the disk is full, or the folder may not be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=out) as folder:
            yield Path(folder)
    except OSError as error:
        raise UserError(f'{error.filename or out}: {error.strerror or error}') from error


def refuse_existing(out: Path, name: str, formats: Sequence[str], overwrite: bool) -> None:
    """
    Raises:
        UserError: a file of one of these names is there.
    """
    there = [name + FORMATS[one] for one in formats if (out / f'{name}{FORMATS[one]}').exists()]
    if there and not overwrite:
        raise UserError(f'{out} holds {", ".join(there)}; --overwrite replaces, another --out leaves it')


def publish(certified: Certified, out: Path, name: str) -> Certified:
    """Give a certified file its name: with its weights first, the file itself last."""
    file = certified.file
    target = out / f'{name}{file.suffix}'
    suffixes = ['.bin'] * (file.suffix == '.xml') + [f'{file.suffix}.json', file.suffix]
    for suffix in suffixes:
        file.with_suffix(suffix).replace(target.with_name(f'{name}{suffix}'))
    return certified._replace(file=target)


def size_of(file: Path) -> int:
    """Bytes, with the weights of a file that has them beside it."""
    weights = file.with_suffix('.bin')
    return file.stat().st_size + (weights.stat().st_size if file.suffix == '.xml' else 0)


def append_line(out: Path, certified: Certified) -> None:
    """A line in the folder's table of files, in place of an older one of the same file."""
    head = ['| File | Precision | Certificate |', '|---|---|---|']
    table = out / TABLE
    name = certified.file.name
    lines = table.read_text().splitlines()[2:] if table.is_file() else []
    lines = [line for line in lines if not line.startswith(f'| {name} |')]
    lines.append(f'| {name} | {certified.certificate.precision} | {certified.line} |')
    table.write_text('\n'.join([*head, *sorted(lines)]) + '\n')
