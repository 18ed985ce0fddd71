"""The files that a Python-style config is made of, and what each says of where its numbers are from."""

import ast
from pathlib import Path


def config_sources(file: str | Path) -> list[list[str]]:
    """[file, its docstring] of a config and of those that it reads with `read_base`, in their order.

    Empty for a config of another style, which has no docstrings.
    """
    found: dict[Path, str] = {}
    _add(Path(file), found)
    return [
        [path.name if path.parent == Path(file).parent else f'{path.parent.name}/{path.name}', text]
        for path, text in found.items()
    ]


def _add(file: Path, found: dict[Path, str]) -> None:
    file = Path(file)
    if file in found or file.suffix != '.py' or not file.is_file():
        return
    try:
        tree = ast.parse(file.read_text(encoding='utf-8'))
    except SyntaxError:
        return
    text = ast.get_docstring(tree)
    if text:
        found[file] = text
    for block in tree.body:
        if isinstance(block, ast.With):
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.level and line.module:
                    folder = file.parents[line.level - 1]
                    _add(folder.joinpath(*line.module.split('.')).with_suffix('.py').resolve(), found)
