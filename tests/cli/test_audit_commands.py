"""``ruxa audit`` on a running server: the log grows by itself, verifies, and leaves as files that check themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fixtures_server import RunningServer, eventually
from ruxa.access.audit import verify as verifier


def test_the_log_grows_verifies_and_leaves_as_files(server: RunningServer, tmp_path: Path) -> None:
    server.cli("org", "create", "--name", "Logged", "--owner-email", "logged@kestrel.example")

    def grown() -> dict[str, object] | None:
        found = server.cli_json("audit", "verify")
        return found if found["tree_size"] > 0 and found["checkpoints_verified"] > 0 else None

    found = eventually(grown, 30, every_s=1)
    assert found["ok"]
    assert found["first_bad_leaf"] is None
    # Another test of the same server may have made a newer key meanwhile.
    keys = found["keys"]
    assert isinstance(keys, list)
    assert keys
    assert all(verifier.read_vkey(key).name.startswith("ruxa-log/") for key in keys)
    known = [part for key in keys for part in ("--key", key)]
    assert "All is well." in server.cli("audit", "verify")

    out = tmp_path / "log"
    done = server.cli_json("audit", "export", "--out", str(out), "--open", "proof")
    assert done["tree_size"] == done["opened"] > 0
    command = [sys.executable, "-I", "-S", str(out / "ruxa-verify.py"), "check", str(out), *known, "--json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout)
    assert (shown["ok"], shown["tree_size"]) == (True, done["tree_size"])
    entries = [json.loads(row) for row in (out / "entries.jsonl").read_text().splitlines()]
    acts = [json.loads(entry["fields"])["action"] for entry in entries]
    assert "organisation:created" in acts
    assert acts[-1] == "log:exported", "written before the files are"
    assert "logged@kestrel" not in (out / "entries.jsonl").read_text()

    # What is kept outside must go on agreeing with the log.
    kept = str(out / "checkpoint")
    assert server.cli_json("audit", "verify", "--checkpoint", kept)["ok"]
    note = verifier.read_note((out / "checkpoint").read_text())
    other = tmp_path / "other"
    other.write_text((out / "checkpoint").read_text().replace(f"\n{note.size}\n", f"\n{note.size + 900}\n"))
    assert server.cli_json("audit", "verify", "--checkpoint", str(other), code=1)["problems"][0]["kind"] == "signature"
    other.write_text("x")
    assert "is no checkpoint" in server.cli_raw("audit", "verify", "--checkpoint", str(other)).stderr
    assert server.cli_raw("audit", "export", "--out", str(out)).returncode == 2
