"""Celery silently ignores unknown settings: ours are compared with its own lists."""

from __future__ import annotations

from celery.app.defaults import NAMESPACES, flatten
from kombu.transport.redis import Channel

from worker.model import Endpoint
from worker.runtime import RuntimeConfig
from worker.tasks import CONFIG, TRANSPORT, make_app

POSTS = RuntimeConfig(
    "redis://127.0.0.1:1/0", "sqlite:////nowhere", [], [Endpoint("https://api.example", "1")]
)


def test_every_setting_is_one_of_celerys() -> None:
    """No key is misspelt: a `task_ack_late` would lose tasks and say nothing."""
    known = {entry[0] for entry in flatten(NAMESPACES)}
    assert set(CONFIG) <= known


def test_every_transport_option_is_one_of_the_redis_transports() -> None:
    """Kombu's Redis channel takes each option, so that a frozen Redis can't hang a worker for ever."""
    assert set(TRANSPORT) <= set(Channel.from_transport_options)


def test_the_settings_reach_the_application() -> None:
    """The application runs with the settings in the module's constants."""
    app = make_app(POSTS)
    assert {name: getattr(app.conf, name) for name in CONFIG} == CONFIG
    assert app.conf.broker_transport_options == TRANSPORT


def test_a_chunk_gives_way_long_before_its_message_is_delivered_again() -> None:
    """The times are ordered as the design needs: request, lease, yield, limits, redelivery."""
    from worker.importing.chunk_session import LEASE, TURN

    deadline = 30
    limits = (CONFIG["task_soft_time_limit"], CONFIG["task_time_limit"], TRANSPORT["visibility_timeout"])
    assert deadline < LEASE < TURN < limits[0] < limits[1] < limits[2]
