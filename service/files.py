"""Files on disk behind the archive: existence, logs, plots."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.archive.models import Block, Product
from core.archive.states import BlockState, FrameState, ProductState
from core.errors import NonRetriableError, NotFoundError

__all__ = [
    "ExpiredError",
    "FileGoneError",
    "Plot",
    "SetAsideError",
    "block_plots",
    "cube_views",
    "existing",
    "is_made_again",
    "product_path",
    "tail_text",
]

_TAIL_CHUNK: Final = 1 << 16


class FileGoneError(NotFoundError):
    """The archive knows a file that is not on disk."""

    error_type = "file_gone"


class SetAsideError(NonRetriableError):
    """A raw frame is on disk, but not used: it is damaged, excluded by a person, or a duplicate."""

    error_type = "set_aside"
    http_status = 410

    def __init__(self, name: str, state: FrameState, reason: str) -> None:
        why = f" ({reason})" if reason else ""
        cure = "add set_aside=true to have it all the same"
        super().__init__(f"the frame {name} is {state.value} and not used{why}: {cure}", frame=name)


class ExpiredError(NonRetriableError):
    """The file of an intermediate product was removed after a while."""

    error_type = "expired"
    http_status = 410

    def __init__(self, product: Product) -> None:
        cure = f"made again on demand: POST /api/products/{product.id}/make-again"
        what = cure if is_made_again(product) else "not made again, as something else took its place"
        when = f"{product.expired_at:%Y-%m-%d}"
        super().__init__(
            f"{product.file_name} is an intermediate product that expired on {when}; it is {what}", product=product.id
        )


def is_made_again(product: Product) -> bool:
    """Whether an expired product can be made again: it was not replaced, and its block was not either."""
    replaced = product.block is None or product.block.state is BlockState.SUPERSEDED
    return not replaced and product.state is not ProductState.SUPERSEDED


def product_path(product: Product) -> Path:
    """The file of a product.

    Raises
    ------
    ExpiredError
        If it was removed, as intermediates are after a while.
    """
    if product.expired_at is not None:
        raise ExpiredError(product)
    return Path(product.path)


@dataclass(frozen=True)
class Plot:
    """A picture of a finished block; ``unit`` is None if it shows all of them."""

    path: Path
    title: str
    caption: str
    unit: int | None


def existing(path: Path) -> Path:
    """The path, if it is a file.

    Raises
    ------
    FileGoneError
        If it is not there.
    """
    if not path.is_file():
        raise FileGoneError(f"the file {path.name} is not on disk any more", file=path)
    return path


def tail_text(path: Path, lines: int) -> str:
    """The last lines of a text file, read from its end."""
    data = b""
    with path.open("rb") as stream:
        position = stream.seek(0, os.SEEK_END)
        while position > 0 and data.count(b"\n") <= lines:
            step = min(_TAIL_CHUNK, position)
            position -= step
            stream.seek(position)
            data = stream.read(step) + data
    return "\n".join(data.decode("utf-8", errors="replace").splitlines()[-lines:]) + "\n" if data else ""


def block_plots(block: Block) -> tuple[Plot, ...]:
    """Plots of a block that are on disk, in the order of the QC procedure."""
    pictures = (item for item in block.plots or () if not item.get("view_of"))
    plots = (Plot(Path(item["path"]), item["title"], item["caption"], item["unit"]) for item in pictures)
    return tuple(plot for plot in plots if plot.path.is_file())


def cube_views(block: Block) -> dict[str, Path]:
    """Views of the cubes of a block that are on disk, by the name of the cube's file."""
    views = {item["view_of"]: Path(item["path"]) for item in block.plots or () if item.get("view_of")}
    return {name: path for name, path in views.items() if path.is_file()}
