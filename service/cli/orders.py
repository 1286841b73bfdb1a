"""Orders of persons from the terminal, with name and reason: rerun, make-again, cancel, certify, reject, exclude ..."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from core.archive.frame_use import exclude_frame, include_frame
from core.archive.orders import cancel_block, judge_block, rerun_block, set_product_state
from core.archive.pages.blocks import find_block
from core.archive.pages.products import find_product
from core.archive.remaking import make_again
from core.archive.states import ProductState
from core.cascade.words import count_words
from core.errors import StateConflictError
from service.cli.common import console, open_installation, print_json, settings_of, state_text

__all__ = ["run_cancel", "run_judge", "run_make_again", "run_rerun", "run_use"]


@dataclass(frozen=True)
class Ordered:
    """What an order did: the name that was given, the state that it led to, and how many products it concerned."""

    name: str
    state: str
    products: int | None = None


Order = Callable[[Session, str], Ordered]


def run_rerun(names: Sequence[str], data_dir: Path | None, *, comment: str, as_json: bool) -> int:
    """Do blocks again; all or, if one cannot be, none."""

    def order(session: Session, name: str) -> Ordered:
        block = find_block(session, name)
        return Ordered(name, rerun_block(session, block.id, actor=_person(), reason=comment).value)

    return _carry_out(names, data_dir, order, as_json)


def run_make_again(names: Sequence[str], data_dir: Path | None, *, comment: str, as_json: bool) -> int:
    """Make expired products again, by the name of their block or by number; all or, if one cannot be, none."""

    def order(session: Session, name: str) -> Ordered:
        if name.isdecimal():
            product = find_product(session, int(name))
            if product.block is None:
                raise StateConflictError(f"product {product.file_name} came from outside", product=product.id)
            block = product.block
        else:
            block = find_block(session, name)
        return Ordered(block.name, make_again(session, block.id, actor=_person(), reason=comment).value)

    return _carry_out(names, data_dir, order, as_json)


def run_cancel(names: Sequence[str], data_dir: Path | None, *, comment: str, as_json: bool) -> int:
    """Stop blocks; all or, if one cannot be, none."""

    def order(session: Session, name: str) -> Ordered:
        block = find_block(session, name)
        return Ordered(name, cancel_block(session, block.id, actor=_person(), reason=comment).value)

    return _carry_out(names, data_dir, order, as_json)


def run_judge(names: Sequence[str], data_dir: Path | None, state: ProductState, *, comment: str, as_json: bool) -> int:
    """Certify or reject products, by the name of their block or by number; all or, if one cannot be, none."""

    def order(session: Session, name: str) -> Ordered:
        if name.isdecimal():
            product = find_product(session, int(name))
            set_product_state(session, product.id, state, actor=_person(), text=comment)
            return Ordered(product.file_name, state.value, 1)
        block = find_block(session, name)
        judged = judge_block(session, block.id, state, actor=_person(), comment=comment)
        return Ordered(name, state.value, len(judged))

    return _carry_out(names, data_dir, order, as_json)


def run_use(names: Sequence[str], data_dir: Path | None, *, use: bool, comment: str, as_json: bool) -> int:
    """Exclude raw frames or include them again; all or, if one cannot be, none."""
    change = include_frame if use else exclude_frame

    def order(session: Session, name: str) -> Ordered:
        frame = change(session, name.removesuffix(".fz").removesuffix(".fits"), actor=_person(), comment=comment)
        return Ordered(frame.dp_id, frame.state.value)

    return _carry_out(names, data_dir, order, as_json)


def _carry_out(names: Sequence[str], data_dir: Path | None, order: Order, as_json: bool) -> int:
    with open_installation(settings_of(data_dir)) as archive, archive.write() as session:
        done = [order(session, name) for name in names]
    if as_json:
        print_json([{"name": item.name, "state": item.state, "products": item.products} for item in done])
        return 0
    for item in done:
        some = "" if item.products is None else f", {count_words(item.products, 'product')}"
        console.print(f"{item.name}: {state_text(item.state)}{some}", soft_wrap=True)
    return 0


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in a container
        return f"user {os.getuid()}"
