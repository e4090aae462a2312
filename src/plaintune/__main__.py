"""`python -m plaintune` is the command line."""

from .faces.cli import main

main()
