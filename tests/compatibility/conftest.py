"""The modules of this folder are imported by their names, as those of `tests/` are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
