"""REST interface: one router per thing, all below ``/api``."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from service.api import blocks, cubes, curves, docs, frames, health, nights, pixels, products, qc1, quarantine, recipes
from service.filters import known_parameters
from service.links import addresses

__all__ = ["ADDRESSES", "router"]

_MODULES = (health, nights, frames, quarantine, blocks, products, pixels, cubes, curves, qc1, recipes)
ADDRESSES = tuple(addresses(module.router for module in _MODULES))
"""Path templates of what is read, below ``/api``."""

router = APIRouter(prefix="/api", dependencies=[Depends(known_parameters)])
for module in _MODULES:
    router.include_router(module.router)
router.include_router(docs.router, include_in_schema=False)
