"""Ports: reserved for workers, refused to strangers, taken ones explained."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ruxa.app import ports
from ruxa.kernel.errors import Conflict, InvalidCall


def test_a_reserved_port_takes_workers_and_no_stranger() -> None:
    held, port = ports.reserve("127.0.0.1", 0)
    with held:
        for _ in range(2):
            with socket.socket() as worker:
                for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as the event loop sets them
                    worker.setsockopt(socket.SOL_SOCKET, option, 1)
                worker.bind(("127.0.0.1", port))
                worker.listen()
                with socket.create_connection(("127.0.0.1", port), timeout=2):
                    worker.accept()[0].close()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with pytest.raises(Conflict, match=f"Port {port} on 127.0.0.1 is taken"):
            ports.reserve("127.0.0.1", port)
    ports.reserve("127.0.0.1", port)[0].close()


def test_a_taken_port_names_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=rf"is taken by .*\(pid {os.getpid()}\)"):
            ports.reserve("127.0.0.1", port)


def test_a_listener_that_shares_its_port_is_seen_too() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken, pytest.raises(Conflict):
        ports.reserve("127.0.0.1", taken.getsockname()[1])


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InvalidCall, match="not an address of this machine"):
        ports.reserve("192.0.2.1", 0)
    with pytest.raises(InvalidCall, match="is not known"):
        ports.reserve("no-such-host.invalid", 0)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert ports.is_loopback(host) is loopback


def test_a_kept_port_is_taken_again_while_it_is_free(tmp_path: Path) -> None:
    kept = tmp_path / "port"
    with ports.listening_again(kept) as first:
        where = first.getsockname()
        assert kept.read_text() == str(where[1])
        with ports.listening_again(kept) as other:
            assert other.getsockname()[1] != where[1]
            kept.write_text(str(where[1]))
    with ports.listening_again(kept) as again:
        assert again.getsockname() == where
    for damaged in ("", "x", "99999999"):
        kept.write_text(damaged)
        with ports.listening_again(kept) as anew:
            assert kept.read_text() == str(anew.getsockname()[1])
