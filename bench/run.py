"""The gateway against nginx in one run: CPU per call and per streamed event, added latency, memory.

The harness (mock upstream and load generator in C; needs `cc` and `nginx`) is no part of the product: it is looked
for in $RUXA_BENCH_HARNESS, then in ../shared/bench. Ruxa is measured as its users run it: keys, limits, leases, usage
rows and journal on. `ruxa` is the whole tree: supervisor, gateway, console, worker, PostgreSQL; `ruxa-gateway` is a
gateway-only installation (supervisor and one worker) on the PostgreSQL of another.

    python3 dev.py bench                          the table, on standard output
    python3 dev.py bench -- --write               the table into bench/README.md
    python3 dev.py bench -- -- --prompt-kib 256   what follows the second -- goes to the harness
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = Path(__file__).with_name("README.md")
UPSTREAM_PORT = 9901
PORTS = {"ruxa": 9931, "ruxa-gateway": 9932}


def harness() -> Path:
    """Where the harness is; exit 2 when there is none."""
    for place in (os.environ.get("RUXA_BENCH_HARNESS"), ROOT.parent / "shared" / "bench"):
        if place and (Path(place) / "bench.py").is_file():
            return Path(place)
    sys.stderr.write("bench: no harness; set RUXA_BENCH_HARNESS to the folder that holds bench.py\n")
    raise SystemExit(2)


def ruxa(data: Path, config: Path, *arguments: str) -> dict[str, str]:
    """One `ruxa` command on the bench's data directory; its JSON answer."""
    command = [sys.executable, "-m", "ruxa", *arguments, "--data", str(data), "--config", str(config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: ruxa {' '.join(arguments)}: {done.stderr or done.stdout}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def running(data: Path, config: Path, port: int) -> Iterator[None]:
    """A whole Ruxa on ``data`` until the block ends."""
    command = [sys.executable, "-m", "ruxa", "run", "--no-demo", "--data", str(data), "--config", str(config)]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit("bench: the first start took more than 30 s")
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def key_of(data: Path, config: Path) -> str:
    """A key with limits, of an organisation with credit, on a running installation."""
    org = ruxa(data, config, "org", "create", "--name", "Bench", "--owner-email", "bench@example.com")["id"]
    ruxa(data, config, "org", "credit", org, "--micros", "1000000000", "--reason", "bench")
    limits = ("--rpm", "100000000", "--tpm", "2000000000", "--concurrency", "4096")
    return ruxa(data, config, "key", "create", "--org", org, "--name", "bench", *limits)["key"]


def table(name: str, key: str, command: str, database: str = "") -> str:
    """One gateway of the harness."""
    variables = 'BENCH_UPSTREAM_KEY = "sk-upstream"' + (f', RUXA_DATABASE_URL = "{database}"' if database else "")
    return (
        f"[[gateway]]\nname = \"{name}\"\nport = {PORTS[name]}\nwait = 60\ncmd = '{command}'\n"
        f'headers = {{ Authorization = "Bearer {key}" }}\nenv = {{ {variables} }}\n'
    )


def measure(place: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    """nginx, Ruxa whole and Ruxa's gateway alone, in one run of the harness."""
    with tempfile.TemporaryDirectory(prefix="ruxa-bench-") as folder:
        config, whole, apart = Path(folder) / "ruxa.toml", Path(folder) / "whole", Path(folder) / "apart"
        config.write_text(
            f'[providers.openai]\nbase_url = "http://127.0.0.1:{UPSTREAM_PORT}/v1"\nkey = "env:BENCH_UPSTREAM_KEY"\n'
            # The harness streams more tokens than a call's cap allows; at a real price that would close the model.
            '[models."openai/gpt-4o-mini"]\ninput_micros_per_mtok = 150000\noutput_micros_per_mtok = 600\n'
        )
        with running(whole, config, PORTS["ruxa"]):
            key = key_of(whole, config)
        base = f"exec {sys.executable} -m ruxa run --no-demo --config {config} --port {{port}}"
        tables = [table("ruxa", key, f"{base} --data {whole}")]
        with running(apart, config, PORTS["ruxa-gateway"] + 1):
            key = key_of(apart, config)
            url = ruxa(apart, config, "db", "url")["url"]
            alone = f"{base} --role gateway --data {folder}/gateway --keys {apart}-keys"
            tables.append(table("ruxa-gateway", key, alone, url))
            own = Path(folder) / "ruxa.bench.toml"
            own.write_text("\n".join(tables))
            command = [sys.executable, str(place / "bench.py"), "--upstream-port", str(UPSTREAM_PORT)]
            command += [
                "--config",
                str(place / "peers.toml"),
                "--config",
                str(own),
                "--only",
                "nginx,ruxa,ruxa-gateway",
            ]
            return subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=False)


def main() -> int:
    """Prepare, run the harness, print or write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("rest", nargs="*", help="options of the harness, after --")
    chosen = parser.parse_args()
    place = harness()
    os.environ.setdefault("BENCH_UPSTREAM_KEY", "sk-upstream")
    done = measure(place, chosen.rest)
    sys.stdout.write(done.stdout)
    if chosen.write and done.returncode == 0:
        head, rest = README.read_text(encoding="utf-8").split("<!-- table -->", 1)
        _, tail = rest.split("<!-- /table -->", 1)
        README.write_text(f"{head}<!-- table -->\n{done.stdout.strip()}\n<!-- /table -->{tail}", encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
