"""What was measured: a table, plain data for JSON, a picture."""

import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')  # a benchmark has no display

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from rich.table import Table

from .models import TimedModel
from .setting import RunSetting
from .timing import PRODUCT, Load, Timing


def results(
    setting: RunSetting,
    timed_models: Sequence[TimedModel],
    timings: Mapping[str, Timing],
    memory: Mapping[str, int],
    product: Timing,
    load: Load,
    baseline: str,
) -> dict[str, Any]:
    """Everything that was set and measured, as JSON has it: seconds, bytes, operations a second.

    `share` is the part that a model reaches of the machine's rate on one large matrix product. Of a training
    step, whose backward pass costs twice the forward pass, three times the forward operations are counted.
    Of an exported file, parameters, operations and memory are not known.
    """
    rate = 2 * PRODUCT**3 / product.median
    passes = 3 if setting.training else 1
    models = {}
    for name, cost, _ in timed_models:
        timing = timings[name]
        models[name] = dict(timing._asdict(), ratio=timing.median / timings[baseline].median)
        if cost:
            operations = 2 * cost.multiply_adds * setting.batch * passes
            models[name].update(
                parameters=cost.parameters,
                multiply_adds=cost.multiply_adds,
                share=operations / timing.median / rate,
                memory=memory[name],
            )
    return dict(
        machine=machine(setting.device),
        task='training step' if setting.training else 'forward',
        batch=setting.batch,
        size=list(setting.size),
        dtype=str(setting.dtype).removeprefix('torch.'),
        compiled=setting.compiled,
        fused=setting.fused,
        memory_kept=setting.memory_kept,
        load=load._asdict(),
        quiet=load.quiet,
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
    words = [found['task'], f'{found["batch"]}×3×{_size(found)}', found['dtype']]
    words += [word for word in ('compiled', 'fused', 'memory_kept') if found[word]]
    return ', '.join(words).replace('_', ' ')


def times_table(found: Mapping[str, Any]) -> Table:
    """A row a model, fastest first."""
    rate, load = found['matrix_product_rate'] / 1e9, found['load']
    table = Table(
        title=title(found),
        title_justify='left',
        caption=f'{found["machine"]}; matrix product {rate:.0f} GFLOP/s; '
        f'load {load["start"]:.1f} before, {load["end"]:.1f} after, others on {load["others"]:.1f} cores',
        caption_justify='left',
    )
    table.add_column('model', overflow='fold')  # a config's path can be long
    columns = [
        'parameters',
        'multiply-adds',
        'median',
        'quartiles',
        'CPU',
        f'× {Path(found["baseline"]).name.removesuffix(".py")}',
        'share',
        'memory',
    ]
    for column in columns:
        table.add_column(column, justify='right')
    for name, row in sorted(found['models'].items(), key=lambda item: item[1]['median']):
        known = 'parameters' in row
        table.add_row(
            name,
            f'{row["parameters"] / 1e6:.1f} M' if known else '–',
            f'{row["multiply_adds"] / 1e9:.1f} G' if known else '–',
            f'{1e3 * row["median"]:.0f} ms',
            f'{1e3 * row["low"]:.0f} – {1e3 * row["high"]:.0f}',
            f'{1e3 * row["cpu"]:.0f}',
            f'{row["ratio"]:.2f}',
            f'{row["share"]:.0%}' if known else '–',
            f'{row["memory"] / 2**20:.0f} MiB' if known else '–',
        )
    return table


def scaling_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """How many times the first size's multiply-adds, time and memory each model takes at the others."""
    first = runs[0]
    table = Table(title=f'scaling from {_size(first)}', title_justify='left')
    for column in ('model', 'size'):
        table.add_column(column)
    for column in ('pixels', 'multiply-adds', 'time', 'memory'):
        table.add_column(column, justify='right')
    for name, start in first['models'].items():
        for run in runs[1:]:
            row = run['models'][name]
            times = [math.prod(run['size']) / math.prod(first['size'])]
            times += [
                row[key] / start[key] if key in row else None for key in ('multiply_adds', 'median', 'memory')
            ]
            table.add_row(name, _size(run), *(f'{number:.1f} ×' if number else '–' for number in times))
    return table


def _size(found: Mapping[str, Any]) -> str:
    return '×'.join(map(str, found['size']))


def draw(runs: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Latency against multiply-adds; of several sizes, against pixels."""
    figure, ax = plt.subplots(figsize=(9.5, 5.5), layout='constrained')
    (_draw_scaling if len(runs) > 1 else _draw_costs)(ax, runs)
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(alpha=0.25)
    figure.legend(frameon=False, loc='outside right center')  # beside the axes names never meet
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_costs(ax: Axes, runs: Sequence[Mapping[str, Any]]) -> None:
    """Each model, and the line on which it would run at the matrix product's rate."""
    (run,) = runs
    rows = {name: run['models'][name] for name in _slowest_first(run)}
    rows = {name: row for name, row in rows.items() if 'multiply_adds' in row}  # not of exported files
    for number, name in enumerate(rows):
        _draw_line(ax, number, name, [rows[name]['multiply_adds'] / 1e9], [rows[name]])
    most = 1.1 * max(row['multiply_adds'] for row in rows.values()) / 1e9
    passes = 3 if run['task'] == 'training step' else 1
    slope = 2e12 * passes * run['batch'] / run['matrix_product_rate']  # ms per 10⁹ multiply-adds
    ends = [0, most]
    ax.plot(ends, [slope * x for x in ends], '--', color='gray', lw=1, label="at the matrix product's rate")
    highest = 1.1 * max(1e3 * row['high'] for row in rows.values())
    ax.set(xlim=(0, most), ylim=(0, highest), title=title(run))
    ax.set(xlabel='multiply-adds of an image, 10⁹', ylabel='milliseconds')


def _draw_scaling(ax: Axes, runs: Sequence[Mapping[str, Any]]) -> None:
    """Each model's sizes, and how one would grow that is linear in pixels."""
    pixels = [math.prod(run['size']) / 2**20 for run in runs]
    for number, name in enumerate(_slowest_first(runs[-1])):
        _draw_line(ax, number, name, pixels, [run['models'][name] for run in runs])
    least = min(1e3 * row['median'] for row in runs[0]['models'].values()) / 2
    linear = [least * count / pixels[0] for count in pixels]
    ax.plot(pixels, linear, '--', color='gray', lw=1, label='linear in pixels')
    ax.set(xscale='log', yscale='log', xticks=pixels, xticklabels=map(_size, runs))
    ax.minorticks_off()
    heading = title(runs[0]).replace(_size(runs[0]), 'height×width')
    ax.set(xlabel='pixels', ylabel='milliseconds', title=heading)


def _slowest_first(run: Mapping[str, Any]) -> list[str]:
    """The models' names, from top to bottom in a picture."""
    return sorted(run['models'], key=lambda name: -run['models'][name]['median'])


def _draw_line(
    ax: Axes, number: int, name: str, x: Sequence[float], rows: Sequence[Mapping[str, Any]]
) -> None:
    """A model's medians with their quartiles."""
    y = [1e3 * row['median'] for row in rows]
    below = [max(1e3 * (row['median'] - row['low']), 0) for row in rows]
    above = [max(1e3 * (row['high'] - row['median']), 0) for row in rows]
    marker = 'osD^v'[number % 5]  # ten colours are not enough
    ax.errorbar(x, y, yerr=[below, above], marker=marker, linewidth=1, capsize=3, label=name)
