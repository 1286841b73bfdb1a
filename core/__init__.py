"""Cascade's core: the MUSE reduction library, the rules and the archive.

The rooms of this package and who may import whom are described in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
