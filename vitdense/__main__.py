"""`python -m vitdense COMMAND …`."""

from .cli import main

main()
