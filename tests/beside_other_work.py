"""Training steps beside other processes, with OpenMP's threads as they come and as the commands set them.

    python tests/beside_other_work.py

prints the table of docs/benchmarks.md, in some five minutes. On a machine that is otherwise quiet.
"""

import os
import subprocess
import sys
import time
from statistics import mean, median

from vitdense.threads import OWN, WAITING

SECONDS, ROUNDS = 12, 2
SITUATIONS = {  # busy processes, other trainings
    'alone': (0, 0),
    'one busy process': (1, 0),
    'two busy processes': (2, 0),
    'another training': (0, 1),
}


def train(seconds: float) -> None:
    """Steps of TransCNN-Tiny, four images of 128 × 128: a line to begin, and for each its seconds."""
    import torch

    from vitdense.backbones import TransCNN
    from vitdense.memory import keep_freed_memory

    keep_freed_memory()
    backbone, image = TransCNN('tiny').train(), torch.randn(4, 3, 128, 128)
    for number in range(-2, sys.maxsize):
        start = time.perf_counter()
        sum(m.square().mean() for m in backbone(image)).backward()
        if number == -1:
            print('begun', flush=True)
            end = time.perf_counter() + seconds
        elif number >= 0:
            print(time.perf_counter() - start, flush=True)
            if time.perf_counter() > end:
                return


def measure(situation: str, set_by_us: bool) -> list[float]:
    """Seconds of each step."""
    busy, trainings = SITUATIONS[situation]
    environment = {key: value for key, value in os.environ.items() if key not in OWN}
    if set_by_us:
        environment |= WAITING
    others = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(busy)]
    command = [sys.executable, __file__]
    for _ in range(trainings):
        others.append(
            subprocess.Popen([*command, '1000'], env=environment, stdout=subprocess.PIPE, text=True)
        )
        others[-1].stdout.readline()
    try:
        said = subprocess.check_output([*command, str(SECONDS)], env=environment, text=True)
    finally:
        for other in others:
            other.kill()
    return [float(line) for line in said.splitlines()[1:]]


def main() -> None:
    found: dict[tuple[str, bool], list[float]] = {}
    for _ in range(ROUNDS):
        for situation in SITUATIONS:
            for set_by_us in (False, True):
                found.setdefault((situation, set_by_us), []).extend(measure(situation, set_by_us))
    print('| beside | as OpenMP comes | as the commands set it |\n|---|---|---|')
    for situation in SITUATIONS:
        cells = [
            f'{median(steps):.2f} s, mean {mean(steps):.2f}, longest {max(steps):.2f}'
            for steps in (found[situation, False], found[situation, True])
        ]
        print(f'| {situation} | {" | ".join(cells)} |')


if __name__ == '__main__':
    if len(sys.argv) > 1:
        train(float(sys.argv[1]))
    else:
        main()
