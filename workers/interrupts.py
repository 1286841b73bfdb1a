"""Why the execution of a block is broken off from outside.

They derive from BaseException, so that no ``except Exception`` on the way can take them for a failure of the data.
"""

from __future__ import annotations

__all__ = ["BlockCancelled", "BlockInterrupt", "LeaseLost", "RecipeTimeout", "ShutdownRequested"]


class BlockInterrupt(BaseException):
    """Base of the interrupts."""


class BlockCancelled(BlockInterrupt):
    """A person wants the block stopped."""


class LeaseLost(BlockInterrupt):
    """The block belongs to somebody else: write nothing."""


class ShutdownRequested(BlockInterrupt):
    """The worker shall end: give the block back."""


class RecipeTimeout(BlockInterrupt):
    """The recipe takes too long."""
