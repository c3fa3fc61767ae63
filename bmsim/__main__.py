"""`python -m bmsim`: the command, where no script of it is on the path."""

from bmsim.cli import main

main()
