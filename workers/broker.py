"""The Celery application: one task, whose message is a block number and the key of a part, and nothing else.

Without any server the messages are files below the data directory; ``CASCADE_BROKER_URL=redis://...`` uses Redis. The
broker may lose or double messages: the state of the work is in the database (see `workers.dispatch`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import Celery

from core.archive.records import Work
from core.errors import ParameterError
from core.redaction import redacted
from core.settings import Settings

__all__ = ["EXECUTE_TASK", "QUEUE", "make_app", "send_work", "waiting_messages"]

EXECUTE_TASK = "cascade.execute_block"
QUEUE = "cascade-blocks"
_FILES = "workers.messages:FileTransport"
_VISIBILITY_SECONDS = 6 * 3600  # Redis gives an unacknowledged message to another worker after this


def make_app(settings: Settings) -> Celery:
    """Celery application for the broker of the settings.

    Raises
    ------
    ParameterError
        If ``broker_url`` is neither ``filesystem://`` nor ``redis://``.
    """
    app = Celery("cascade", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        broker_transport=_FILES if settings.broker_url.startswith("filesystem:") else None,
        broker_transport_options=_transport_options(settings),
        broker_connection_retry_on_startup=True,
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
    )
    return app


def send_work(app: Celery, work: Work) -> None:
    """Send the task of a block or part; raises what the broker raises if it does not answer."""
    app.send_task(EXECUTE_TASK, args=[work.block_id, work.part], queue=QUEUE, retry=False)


def waiting_messages(app: Celery) -> int:
    """How many messages no worker has taken yet; raises what the broker raises if it does not answer."""
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1)
        return int(connection.channel().queue_declare(QUEUE, durable=True).message_count)


def _transport_options(settings: Settings) -> dict[str, Any]:
    scheme = settings.broker_url.partition(":")[0]
    if scheme in ("redis", "rediss", "unix", "redis+socket"):
        return {"visibility_timeout": _VISIBILITY_SECONDS, "socket_timeout": 30, "socket_connect_timeout": 5}
    if scheme == "filesystem":
        folder = _folder(settings.broker_dir / "messages")
        return {
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": _folder(settings.broker_dir / "control"),
            "store_processed": False,
            "polling_interval": 0.5,
        }
    raise ParameterError(
        f"broker_url={redacted(settings.broker_url)} is not accepted: it takes filesystem:// or redis://host:port/number",
        parameter="broker_url",
    )


def _folder(path: Path) -> str:
    path.mkdir(parents=True, exist_ok=True)
    return str(path)
