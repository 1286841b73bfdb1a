"""What a block used, as a hash: the same signature is the same work and is never done twice.

A signature holds the recipe with its version and parameters, the units, the frames with their editions, the
calibrations that were chosen, and the rules that chose them: the block's own task with what starts it, and the master
sources of the inputs that it considered. Nothing else of the rule book is in it, and no word for people, so that a
new recipe, another task's window or a better sentence leaves all finished work as it is.

Of the rules it holds what decides *which* files are used (grouping, match keys, windows, how many), not what only
decides *whether* a block runs (fewest frames, lamps): the same files give the same products. A block moves with the
rules of its own inputs; what is made from its products moves with it, as a master stands in the signature of its
users by the signature of the work that made it.

The content of a raw frame is in it as the frame's *edition*: 1 for what was delivered first, one more each time
other content came under the same name (`core.archive.intake`). A hash of the content would say the same and more, but
it is known only after the hashing thread has read the file, often after the block was planned and done: it would
move the signature of unchanged data. The hash decides instead whether a file that was written again is a new edition.

Every part is written out as plain lists in a fixed order; nothing depends on how a class prints. A change of this form
is a new `SCHEME`: blocks with signatures of an older one are signed anew, not reduced anew (`core.archive.signing`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.instruments.rules import InputRule, MasterSource, Rules, Task

__all__ = [
    "SCHEME",
    "SignedWork",
    "begun_pair",
    "considered",
    "deciding_rules",
    "product_identity",
    "rules_hash",
    "sign",
    "signature_with",
]

SCHEME: Final = 2  # 1 hashed the printed form of the whole rule book


@dataclass(frozen=True)
class SignedWork:
    """What one execution of a recipe uses, apart from the rules.

    Attributes
    ----------
    version : str
        Of the recipe.
    parameters : mapping
        Parameters of the recipe that differ from their defaults.
    units : tuple of int
    frames : tuple of (str, int)
        Name and edition of each raw frame that starts it, by time.
    inputs : tuple of (str, str)
        Role and identity (`product_identity`) of each product that starts it and of each chosen input, in the order
        of the task.
    """

    recipe: str
    version: str
    parameters: Mapping[str, Any]
    units: tuple[int, ...]
    frames: tuple[tuple[str, int], ...]
    inputs: tuple[tuple[str, str], ...]


def considered(task: Task, with_roles: Collection[str]) -> tuple[InputRule, ...]:
    """The inputs of a task that are looked for: all but those on request that nobody requests."""
    return tuple(role for role in task.inputs if not role.asked or role.tag in with_roles)


def deciding_rules(rules: Rules, task: Task, with_roles: Collection[str]) -> list[Any]:
    """The rules that decide which files a block of a task uses, as plain lists."""
    roles = considered(task, with_roles)
    return [
        _task_form(task),
        [[_role_form(role), _source_form(rules.source(role))] for role in roles],
        _pairs(rules, roles),
    ]


def rules_hash(rules: Rules, task: Task, with_roles: Collection[str]) -> str:
    """Hash of `deciding_rules`, 12 hex digits: stored with what they decided."""
    return _hash(deciding_rules(rules, task, with_roles))[:12]


def sign(work: SignedWork, decided_by: list[Any]) -> str:
    """Signature of a work that was decided by some rules, 64 hex digits."""
    return _hash(
        [
            SCHEME,
            work.recipe,
            work.version,
            dict(work.parameters),
            list(work.units),
            [list(frame) for frame in work.frames],
            [list(entry) for entry in work.inputs],
            decided_by,
        ]
    )


def signature_with(planned: str, parameters: Mapping[str, Any]) -> str:
    """Signature of the work of a block with parameters that a person changed; the planned one if there are none."""
    return _hash([planned, dict(parameters)]) if parameters else planned


def product_identity(tag: str, signature: str, digest: str, name: str) -> str:
    """What stands for a calibration in a signature: the work that made it, else its content, else its name."""
    return f"{tag}@{signature}" if signature else f"{tag}={digest or name}"


def begun_pair(tag: str, signature: str) -> str:
    """The pair that a product begins, such as a geometry that others are made with: named by the work that made it."""
    return f"{tag}@{signature}"


def _task_form(task: Task) -> list[Any]:
    form = [task.recipe, task.main, task.group_by.value, [list(pair) for pair in task.pictured]]
    # Only where there are some: blocks of tasks without settings keep their signatures.
    return [*form, [[item.parameter, item.value] for item in task.settings]] if task.settings else form


def _role_form(role: InputRule) -> list[Any]:
    form = [role.tag, role.maximum]
    return [*form, [[key, list(values)] for key, values in role.only]] if role.only else form


def _source_form(source: MasterSource) -> list[Any]:
    windows, kelvins = [list(window) for window in source.windows], [list(step) for step in source.kelvins]
    form = [source.tag, list(source.match), windows, source.near, kelvins]
    if source.made_by or source.standard:  # only then: blocks of other sources keep their signatures
        form.append([source.made_by, source.standard])
    return form


def _pairs(rules: Rules, roles: tuple[InputRule, ...]) -> list[list[str]]:
    tags = {role.tag for role in roles}
    return [list(pair) for pair in rules.pairs if tags & set(pair)]


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
