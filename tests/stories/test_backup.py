"""The command line from backup to restore: what is lost is said, what was erased stays erased, keys lie apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attack.loot import Instance, exported, files, look_at, opened, told
from conftest import Sizes
from fixtures_server import RunningServer, environment

PHRASE = "correct horse battery staple"
ENV = {"RUXA_RECOVERY_PASSPHRASE": PHRASE}
MARK = "kzq51c0w7"
EMAIL = f"{MARK}xerased-@example.com"
SPARED = f"{MARK}xspared-@example.com"


def ruxa(place: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command of its own, without a server's directories."""
    return subprocess.run(
        [sys.executable, "-m", "ruxa", *args],
        capture_output=True,
        text=True,
        cwd=place,
        env=environment(**{**ENV, **env}),
        timeout=120,
        check=False,
    )


def restored(place: Path, *args: str, **env: str) -> tuple[int, dict[str, Any]]:
    """``ruxa restore`` into ``place/new``; (exit code, what it said)."""
    done = ruxa(place, "restore", *args, "--data", str(place / "new"), "--json", **env)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_loss_and_the_way_back(fresh_server: Callable[..., RunningServer], tmp_path: Path, sizes: Sizes) -> None:
    server = fresh_server(**ENV).start()
    data, keys = tmp_path / "backups", tmp_path / "safe"
    assert server.chat()[0] == 200
    server.cli("audit", "export", "--out", str(tmp_path / "early"))
    for address in (EMAIL, SPARED):
        server.cli("member", "add", address, "--org", server.organisation)
    # What was done has its place in the log before the backup is made.
    server.cli("audit", "export", "--out", str(tmp_path / "later"))
    made = server.cli_json("backup", "create", "--out", str(data))
    assert Path(made["manifest"]).is_file()
    first = server.cli_json("backup", "keys", "--out", str(keys))
    assert first["passphrase"] is None
    older = tmp_path / "older"
    shutil.copytree(keys, older)
    kit = str(keys / "recovery-kit.json")
    instance = Instance(server)
    held = instance.held() | exported(instance, keys)
    attack = look_at(instance.attack(MARK), opened(instance, keys, held.values()))
    look_at(attack, opened(instance, data, attack.carved(held)))
    assert {find.word for find in attack.solve(held)} == {"erased", "spared"}, "with the keys of then"
    # Keys never lie beside the data, nor the data beside the keys.
    for where, command in ((data / "keys", "keys"), (keys, "create")):
        refused = server.cli_raw("backup", command, "--out", str(where))
        assert refused.returncode == 2
        assert "beside" in refused.stderr

    # After the backup: somebody is erased, a key revoked.
    server.cli("subject", "erase", EMAIL, "--yes")
    key_id = next(row["id"] for row in server.cli_json("key", "list", "--org", server.organisation))
    server.cli("key", "revoke", key_id)
    # What an auditor took away afterwards, and an export of the keys that is younger. A checkpoint tells whole seconds:
    # one of the erasure's own second could as well be from before it, and is refused.
    erased_s = int(time.time())
    while int(time.time()) == erased_s:
        time.sleep(0.02)
    server.cli("audit", "export", "--out", str(tmp_path / "log"))
    outside = str(tmp_path / "log" / "checkpoint")
    server.cli("backup", "keys", "--out", str(keys))
    attack = instance.attack(MARK)
    held = instance.held() | exported(instance, keys)
    assert server.stop() == 0

    # Another passphrase opens nothing and leaves nothing.
    wrong = ruxa(tmp_path, "restore", str(data), "--data", "new", "--recovery-kit", kit,
                 RUXA_RECOVERY_PASSPHRASE="another passphrase")  # fmt: skip
    assert wrong.returncode == 2
    assert "does not open" in wrong.stderr
    assert not (tmp_path / "new").exists()

    _beside_an_old_checkpoint(tmp_path, data, older, kit)

    # Without a checkpoint from outside: in quarantine, and no server starts on it.
    code, said = restored(tmp_path, str(data), "--recovery-kit", kit)
    assert code == 1
    assert said["replayed"]["erased_again"] == 1
    assert said["replayed"]["keys_changed"] == 1
    assert said["unknown"]
    assert [why for why in said["reasons"] if "checkpoint" in why] == said["reasons"]
    # Whatever key is tried on all that lies there now, the old installation's too: the other is there, the erased not.
    secrets = list(files(tmp_path / "new-keys"))
    held |= {name: secret for name, secret in secrets if "/epochs/" in name}
    attack.learn(set(), {bytes.fromhex(Path(name).stem)[-8:] for name, _ in secrets if "/epochs/" in name})
    finds = look_at(attack, files(tmp_path / "new")).solve(held | dict(secrets))
    assert {find.word for find in finds} == {"spared"}, told(finds)
    refused = ruxa(tmp_path, "run", "--data", "new", "--port", "0")
    assert refused.returncode == 2
    assert "in quarantine" in refused.stderr
    assert "in quarantine" in ruxa(tmp_path, "backup", "create", "--out", str(data), "--data", "new").stderr
    # With one that its log covers it is released, and serves.
    released = ruxa(tmp_path, "quarantine", "release", "--data", "new", "--checkpoint", outside)
    assert released.returncode == 0, released.stdout + released.stderr
    if not sizes.long:
        return
    _serves(tmp_path, server)
    _with_every_secret_of_then(tmp_path, data, older, kit, outside)
    _killed_while_it_restores(tmp_path, data, kit)


def _beside_an_old_checkpoint(place: Path, data: Path, older: Path, kit: str) -> None:
    """All of it from before the erasure agrees with itself, and would show the erased: refused, or kept closed."""
    early = str(place / "early" / "checkpoint")
    given = (str(data), "--recovery-kit", kit, "--keystore", str(older), "--checkpoint", early)
    refused = ruxa(place, "restore", *given, "--data", "new")
    assert refused.returncode == 2
    assert "older than the data" in refused.stderr
    assert not (place / "new").exists()
    code, said = restored(place, *given, "--accept-old-checkpoint", "the mails are lost")
    assert code == 1
    assert any("older than the data" in why for why in said["reasons"])
    assert said["checkpoint_at"]
    assert "erased_again" not in said["replayed"], "the danger is real: the old export does not know of it"
    assert ruxa(place, "run", "--data", "new", "--port", "0").returncode == 2
    released = ruxa(place, "quarantine", "release", "--data", "new", "--checkpoint", early)
    assert released.returncode == 1
    assert "older than the data" in released.stdout
    shutil.rmtree(place / "new")
    shutil.rmtree(place / "new-keys")


def _serves(place: Path, server: RunningServer) -> None:
    """The restored instance answers as the lost one would now."""
    back = RunningServer(place / "back", **ENV)
    back.data = place / "new"
    back.start()
    try:
        assert back.chat(key=server.key)[0] == 401
        assert back.cli_raw("subject", "erase", EMAIL, "--yes").returncode != 0 or EMAIL not in back.stdout()
        assert back.cli_json("usage", "list", "--org", server.organisation)
        assert back.cli_json("ledger", "check")["ok"]
        assert back.stop() == 0, back.output()
    finally:
        back.kill_tree()


def _with_every_secret_of_then(place: Path, data: Path, older: Path, kit: str, outside: str) -> None:
    """A backup and an export from before the erasure open within their epoch: the checkpoint keeps them closed."""
    shutil.rmtree(place / "new")
    shutil.rmtree(place / "new-keys")
    code, said = restored(place, str(data), "--recovery-kit", kit, "--keystore", str(older), "--checkpoint", outside)
    assert code == 1
    assert any("is not known" in why for why in said["reasons"])
    assert ruxa(place, "run", "--data", "new", "--port", "0").returncode == 2
    # After the epoch's end its key is gone from the place for keys, and the export opens nowhere.
    shutil.rmtree(older / "epochs")
    shutil.rmtree(place / "new")
    shutil.rmtree(place / "new-keys")
    done = ruxa(place, "restore", str(data), "--data", "new", "--recovery-kit", kit, "--keystore", str(older))
    assert done.returncode == 2
    assert "ended with their epoch" in done.stderr


_KILLED = """
    import os, signal, sys
    from ruxa.cli import backup, output
    def line(text=""):
        if text.strip() == "post":
            os.kill(os.getpid(), signal.SIGKILL)
    output.line = line
    from ruxa.cli import main
    sys.exit(main(sys.argv[1:]))
"""


def _killed_while_it_restores(place: Path, data: Path, kit: str) -> None:
    shutil.rmtree(place / "new", ignore_errors=True)
    shutil.rmtree(place / "new-keys", ignore_errors=True)
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), "restore", str(data), "--data", "new"]
    done = subprocess.run(
        [*command, "--recovery-kit", kit],
        cwd=place,
        env={**environment(**ENV), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    refused = ruxa(place, "run", "--data", "new", "--port", "0")
    assert refused.returncode == 2
    assert "was not finished" in refused.stderr
    again = ruxa(place, "restore", str(data), "--data", "new", "--recovery-kit", kit)
    assert again.returncode == 2
    assert "was not finished" in again.stderr
    _stop_what_is_left(place / "new")
    shutil.rmtree(place / "new")
    shutil.rmtree(place / "new-keys")
    assert restored(place, str(data), "--recovery-kit", kit)[0] == 1


def _stop_what_is_left(data: Path) -> None:
    """The killed restore's PostgreSQL, by its own pid file."""
    pid = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.1)
