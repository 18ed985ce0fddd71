"""How much of the machine other processes use."""

import time

import psutil


class OtherWork:
    """Other processes' use of the cores, from the making of this object on.

    The time that a virtual machine's host took away counts, too. Processes that this one started are others.
    """

    def __init__(self) -> None:
        self.start = _clocks()

    def cores(self) -> float:
        """How many they kept busy, in the mean."""
        wall, busy, own = (now - then for now, then in zip(_clocks(), self.start, strict=True))
        return max(0.0, (busy - own) / wall) if wall else 0.0


def _clocks() -> tuple[float, float, float]:
    """Seconds: of the wall, of all cores while they worked, and of this process on them."""
    times = psutil.cpu_times()._asdict()
    # a user's time has that of guest systems in it
    idle = sum(times.get(name, 0.0) for name in ('idle', 'iowait', 'guest', 'guest_nice'))
    return time.perf_counter(), sum(times.values()) - idle, time.process_time()
