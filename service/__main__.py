"""``python -m service`` is the command ``cascade``."""

import sys

from service.launch import cascade

sys.exit(cascade())
