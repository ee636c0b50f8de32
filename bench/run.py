"""The gateway against nginx in one run: CPU per call and per streamed event, added latency, memory.

The harness (mock upstream and load generator in C; needs `cc` and `nginx`) is no part of the product: it is looked
for in $RUXA_BENCH_HARNESS, then in ../shared/bench. Ruxa is measured as its users run it: keys, limits, leases, usage
rows and journal on. `ruxa` is the whole tree: supervisor, gateway, console, worker, PostgreSQL.

    python3 dev.py bench                          the table, on standard output
    python3 dev.py bench -- --write               the table into bench/README.md
    python3 dev.py bench -- -- --prompt-kib 256   what follows the second -- goes to the harness
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = Path(__file__).with_name("README.md")
UPSTREAM_PORT = 9901
PORTS = {"ruxa": 9931, "ruxa-gateway": 9932}
MODEL = "gpt-4o-mini"


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


def prepare(place: Path, upstream_port: int) -> tuple[Path, Path, str]:
    """A live data directory with one organisation, credit and a key with limits: (data, config, key)."""
    data, config = place / "data", place / "ruxa.toml"
    config.write_text(
        f'[providers.openai]\nbase_url = "http://127.0.0.1:{upstream_port}/v1"\nkey = "env:BENCH_UPSTREAM_KEY"\n'
    )
    org = ruxa(data, config, "org", "create", "--name", "Bench", "--owner-email", "bench@example.com")["id"]
    ruxa(data, config, "org", "credit", org, "--micros", "1000000000", "--reason", "bench")
    key = ruxa(
        data,
        config,
        "key",
        "create",
        "--org",
        org,
        "--name",
        "bench",
        "--rpm",
        "100000000",
        "--tpm",
        "2000000000",
        "--concurrency",
        "4096",
    )["key"]
    return data, config, key


def gateways(data: Path, config: Path, key: str) -> str:
    """The harness's tables for Ruxa."""
    base = f"exec {sys.executable} -m ruxa run --no-demo --data {data} --config {config} --workers 1 --port {{port}}"
    tables = [("ruxa", base)]
    return "\n".join(
        f"[[gateway]]\nname = \"{name}\"\nport = {PORTS[name]}\nwait = 60\ncmd = '{command}'\n"
        f'headers = {{ Authorization = "Bearer {key}" }}\nenv = {{ BENCH_UPSTREAM_KEY = "sk-upstream" }}\n'
        for name, command in tables
    )


def main() -> int:
    """Prepare, run the harness, print or write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("rest", nargs="*", help="options of the harness, after --")
    chosen = parser.parse_args()
    place = harness()
    os.environ.setdefault("BENCH_UPSTREAM_KEY", "sk-upstream")
    with tempfile.TemporaryDirectory(prefix="ruxa-bench-") as folder:
        data, config, key = prepare(Path(folder), UPSTREAM_PORT)
        table = Path(folder) / "ruxa.bench.toml"
        table.write_text(gateways(data, config, key))
        command = [
            sys.executable,
            str(place / "bench.py"),
            "--config",
            str(place / "peers.toml"),
            "--config",
            str(table),
            "--only",
            "nginx,ruxa",
            "--upstream-port",
            str(UPSTREAM_PORT),
            *chosen.rest,
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(done.stdout)
    if chosen.write and done.returncode == 0:
        head, rest = README.read_text(encoding="utf-8").split("<!-- table -->", 1)
        _, tail = rest.split("<!-- /table -->", 1)
        README.write_text(f"{head}<!-- table -->\n{done.stdout.strip()}\n<!-- /table -->{tail}", encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
