"""How long OpenMP's threads spin while they wait for work, on a core that another process could use.

As torch comes, they spin for much of the time that a training takes. Alone on a machine that costs nothing;
beside other work each spins where another has to run, and an iteration takes many times as long
(docs/benchmarks.md).
"""

import os

WAITING = {
    'GOMP_SPINCOUNT': '10000',  # of GCC's, in turns of its loop: after some 0.1 ms a thread sleeps
    'KMP_BLOCKTIME': '0',  # of LLVM's and Intel's, in milliseconds
}
OWN = ('OMP_WAIT_POLICY', *WAITING)  # a user's setting of any of them stays


def wait_briefly() -> None:
    """Let threads that wait sleep soon. Before torch is loaded, which reads it once."""
    if not os.environ.keys() & set(OWN):
        os.environ.update(WAITING)


def describe() -> str:
    """The settings in force, such as 'GOMP_SPINCOUNT=10000'; '' where OpenMP is as it comes."""
    return ' '.join(f'{name}={os.environ[name]}' for name in OWN if name in os.environ)
