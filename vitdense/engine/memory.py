"""Memory that an iteration frees is kept for the next, where the model runs on the CPU."""

import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees; whether it does.

    By itself it gives every large block back to the system, which has to clear each page of the next one: for
    a map of 100 MB that can take longer than the layer that writes it. The process then holds as much memory
    as it ever needed at once. Nothing is done with a GPU, where torch keeps memory by itself, or with another
    C library.
    """
    if torch.cuda.is_available():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
