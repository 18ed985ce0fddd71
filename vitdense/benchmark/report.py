"""What a race came to: a table, plain data, a picture."""

import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')  # a benchmark has no display

import torch
from matplotlib import pyplot as plt
from rich.table import Table

from .contestants import Contestant, Setting
from .stopwatch import PRODUCT, Timing


def results(
    setting: Setting,
    contestants: Sequence[Contestant],
    timings: Mapping[str, Timing],
    product: Timing,
    baseline: str,
) -> dict[str, Any]:
    """Everything that was set and measured, as JSON has it; times in seconds, rates in operations a second.

    `share` is the part that a model reaches of the machine's rate on one large matrix product. Of a training
    step, whose backward pass costs twice the forward pass, three times the forward operations are counted.
    """
    rate = 2 * PRODUCT**3 / product.median
    passes = 3 if setting.training else 1
    models = {}
    for name, cost, _ in contestants:
        timing = timings[name]
        operations = 2 * cost.multiply_adds * setting.batch * passes
        models[name] = dict(
            parameters=cost.parameters,
            multiply_adds=cost.multiply_adds,
            **timing._asdict(),
            ratio=timing.median / timings[baseline].median,
            share=operations / timing.median / rate,
        )
    return dict(
        machine=machine(setting.device),
        task='training step' if setting.training else 'forward',
        batch=setting.batch,
        size=list(setting.size),
        dtype=str(setting.dtype).removeprefix('torch.'),
        compiled=setting.compiled,
        memory_kept=setting.memory_kept,
        baseline=baseline,
        matrix_product_rate=rate,
        models=models,
    )


def machine(device: torch.device) -> str:
    """What it ran on."""
    torch_version = f'torch {torch.__version__}'
    if device.type == 'cuda':
        return f'{torch.cuda.get_device_name(device)}, {torch_version}'
    named = [line.partition(':')[2] for line in _cpu_info() if line.startswith('model name')]
    name = named[0].strip() if named else platform.processor() or platform.machine()
    return f'{name}, {torch.get_num_threads()} threads, {torch_version}'


def _cpu_info() -> list[str]:
    path = Path('/proc/cpuinfo')
    return path.read_text().splitlines() if path.is_file() else []


def title(found: Mapping[str, Any]) -> str:
    height, width = found['size']
    words = [found['task'], f'{found["batch"]}×3×{height}×{width}', found['dtype']]
    words += [word for word in ('compiled', 'memory_kept') if found[word]]
    return ', '.join(words).replace('_', ' ')


def table(found: Mapping[str, Any]) -> Table:
    """A row a model, fastest first."""
    shown = Table(
        title=title(found),
        title_justify='left',
        caption=f'{found["machine"]}; matrix product {found["matrix_product_rate"] / 1e9:.0f} GFLOP/s',
        caption_justify='left',
    )
    shown.add_column('model')
    for column in ('parameters', 'multiply-adds', 'median', 'quartiles', f'× {found["baseline"]}', 'share'):
        shown.add_column(column, justify='right')
    for name, row in sorted(found['models'].items(), key=lambda item: item[1]['median']):
        shown.add_row(
            name,
            f'{row["parameters"] / 1e6:.1f} M',
            f'{row["multiply_adds"] / 1e9:.1f} G',
            f'{1e3 * row["median"]:.4g} ms',
            f'{1e3 * row["low"]:.4g} – {1e3 * row["high"]:.4g}',
            f'{row["ratio"]:.2f}',
            f'{row["share"]:.0%}',
        )
    return shown


def busy(found: Mapping[str, Any]) -> Table:
    """How many processes of the data pipeline give each model as many images as it takes."""
    data = found['data']
    shown = Table(
        title=f'{data["config"]}: one worker gives {data["rate"]:.0f} images/s ({data["images"]} timed)',
        title_justify='left',
    )
    shown.add_column('model')
    for column in ('images/s', 'workers'):
        shown.add_column(column, justify='right')
    for name, row in found['models'].items():
        rate = found['batch'] / row['median']
        shown.add_row(name, f'{rate:.1f}', str(math.ceil(rate / data['rate'])))
    return shown


def draw(found: Mapping[str, Any], path: str | Path) -> None:
    """Latency against multiply-adds, and the line on which a model would run at the matrix product's rate."""
    figure, ax = plt.subplots(figsize=(8, 5.5))
    rows = found['models']
    passes = 3 if found['task'] == 'training step' else 1
    for name, row in rows.items():
        x, y = row['multiply_adds'] / 1e9, 1e3 * row['median']
        bars = [[y - 1e3 * row['low']], [1e3 * row['high'] - y]]
        point = ax.errorbar(x, y, yerr=[[max(b, 0) for b in side] for side in bars], fmt='o', capsize=3)
        ax.annotate(name, (x, y), (7, 0), textcoords='offset points', va='center', color=point[0].get_color())
    ax.set_xlim(0, 1.25 * max(row['multiply_adds'] for row in rows.values()) / 1e9)
    ax.set_ylim(0, 1.15 * max(1e3 * row['high'] for row in rows.values()))
    slope = 2e12 * passes * found['batch'] / found['matrix_product_rate']  # ms per 10⁹ multiply-adds
    ax.axline(
        (0, 0), slope=slope, color='gray', linestyle='--', linewidth=1, label="at the matrix product's rate"
    )
    ax.set(xlabel='multiply-adds of an image, 10⁹', ylabel='milliseconds', title=title(found))
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, loc='lower right')
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)
