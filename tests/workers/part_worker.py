"""A worker without a broker, to be killed: ``python -m tests.workers.part_worker``, settings from the environment.

It takes whatever is READY until the only block of the archive is through.
"""

from __future__ import annotations

import random
import sys
import threading
import time

from sqlalchemy import select

from core.archive.leases import release_expired_leases
from core.archive.models import Block
from core.archive.queries import runnable_work
from core.archive.sessions import Archive
from core.archive.states import BLOCK_OPEN_STATES
from core.settings import Settings
from tests.workers.toys import installed
from workers.execute import BlockExecutor, release_dead


def main(seed: int) -> None:
    """Work."""
    settings = Settings()
    archive = Archive(settings.database_url)
    executor = BlockExecutor(archive, settings, threading.Event())
    order = random.Random(seed)
    while True:
        release_dead(archive, "test")
        with archive.write() as session:
            release_expired_leases(session, actor="test")
        with archive.read() as session:
            if session.scalars(select(Block.state)).one() not in BLOCK_OPEN_STATES:
                return
            todo = [work for work, _ in runnable_work(session)]
        if todo:
            executor.execute(order.choice(todo))
        else:
            time.sleep(0.05)


if __name__ == "__main__":
    with installed():
        main(int(sys.argv[1]))
