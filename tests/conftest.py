"""What every test may ask for: the sizes of the stage, and (added by the store's tests) a real PostgreSQL."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator

import hypothesis
import pytest

# Where Python may not keep what it compiled, each of the suite's thousand processes compiles anew: keep it in .venv,
# as ``dev.py`` does.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.path.join(sys.prefix, "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# A slow machine is no finding: properties are bounded by their number of examples and the test's own time-out.
hypothesis.settings.register_profile("ruxa", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ruxa")

pytest_plugins = ["fixtures_database", "fixtures_server"]

# A stage of its own: what it drives is not installed with the rest (``dev.py test --acceptance``).
collect_ignore = [] if os.environ.get("RUXA_TEST_ACCEPTANCE") == "1" else ["acceptance"]
# Another: at the real payment processors, with test keys of whoever runs it (CONTRIBUTING.md).
collect_ignore += [] if os.environ.get("RUXA_LIVE_TEST") else ["live"]

# One table of sizes for both stages (decision D49): (default, long).
SIZES: dict[str, tuple[int, int]] = {
    "property_examples": (60, 5000),
    "kills": (6, 200),
    "rotation_kills": (5, 50),
    "spenders": (8, 200),
    "fuzz": (300, 10_000),
    "payment_orders": (24, 150),
    "ledger_sequences": (25, 5000),
    "calls_during_kill": (200, 2000),
    "export_lines": (20_000, 1_000_000),
}

LONG_TIMEOUT_S = 600

# Begun first, so that no process is left alone with one of them: what takes longest by the file, few tests as it has.
SLOW = ("tests/attack/", "tests/browser/test_pages.py", "tests/privacy/retention/test_engine.py", "tests/faults/")
SLOW += ("tests/cli/", "tests/stories/", "tests/gateway/test_pipeline.py", "tests/gateway/test_faults.py")
SLOW += ("tests/app/", "tests/ledger/test_storm.py", "tests/browser/", "tests/privacy/retention/")
SLOW += ("tests/gateway/test_batches.py", "tests/store/test_embedded.py")


class Sizes:
    """``sizes["kills"]``: the size of the running stage."""

    def __init__(self, long: bool) -> None:
        self.long = long

    def __getitem__(self, name: str) -> int:
        return SIZES[name][1 if self.long else 0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="full sizes (decision D49)")


@pytest.fixture(scope="session")
def sizes(pytestconfig: pytest.Config) -> Sizes:
    return Sizes(_long(pytestconfig))


def _long(config: pytest.Config) -> bool:
    return bool(config.getoption("--long")) or os.environ.get("RUXA_TEST_LONG") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing of what collecting makes is garbage: Python looks for none meanwhile, nor there afterwards."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow files come first; in the long stage each test has ten minutes (decision D49)."""
    items.sort(key=lambda item: next((n for n, name in enumerate(SLOW) if item.nodeid.startswith(name)), len(SLOW)))
    if _long(config):
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))
