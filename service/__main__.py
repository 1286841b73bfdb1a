"""``python -m service`` is the command ``cascade``."""

from service.cli.main import main

main()
