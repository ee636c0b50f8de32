"""The erasure and retention test that attacks (D32): what was planted can be recovered before its end, and never after.

It drives a real server through its console and API, carries off everything that is on its disks, and tries every secret
that is still held on everything it finds. The same tool has to recover each word before the erasure, and from the same
copies with the old epoch's key after it: else it would prove nothing.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attack import money
from attack.carving import Find, words
from attack.loot import Instance, exported, files, look_at, opened, told
from attack.plants import Browser, Person, sign_up, spray
from fixtures_server import RunningServer, eventually
from ruxa.kernel import bounds
from ruxa.kernel.clock import Clock
from ruxa.store.vault import Vault

if TYPE_CHECKING:
    from conftest import Sizes

# What a person can say that is never stored, not even sealed: it may be found nowhere at any time.
NEVER = frozenset({"prompt", "system", "user", "query", "broken", "agent", "forwarded", "wrongkey", "password"})
# The listed items that outlive an erasure, under the billing key of their fiscal year: whom a receipt is for, and the
# reasons and answers in the records of money.
LEDGER = frozenset({"reason", "party", "refund", "wish", "evidence"})
# What the demo's own pages show of living people to the operator.
SHOWN = frozenset(f"s{word}" for word in ("email", "name", "newname", "invited", "organisation", "key", "storing"))
# What a logical backup holds of each person (not what was said before and replaced since).
BACKED_UP = frozenset(
    who + word for who in "es" for word in ("email", "invited", "key", "storing", "stored", "ownkey", *LEDGER)
)
# Sealed places whose value is one of a closed set, so that no word can be planted there.
CLOSED = frozenset({"access.session|agent_sealed"})
# Sealed places that hold ids and words of the house only; and what the sandbox says when it refuses quotes nobody.
HOUSE = frozenset(
    f"audit.{table}|{column}" for table in ("entry", "customer_entry") for column in ("fields_sealed", "details_sealed")
) | {"content.item|refusal_sealed"}


def plant(server: RunningServer, mark: str, who: str) -> Person:
    """A person who signed up, named everything they can name, invited somebody and called."""
    person = sign_up(server, mark, who)
    browser, word = person.browser, person.words.word
    browser.get("/settings")
    browser.post("/settings", "profile", name=f"Dr {word('newname')} Canary", language="en")
    status, organisation = browser.api("PATCH", "/api/v1/organisation", {"name": f"{word('organisation')} Works"})
    assert status == 200, organisation
    status, made = browser.api("POST", "/api/v1/keys", {"name": f"{word('key')} key of mine", "livemode": True})
    assert status == 201, made
    browser.get("/team")
    browser.post("/team", "invite", email=person.words.address("invited"), role="viewer")
    server.cli(
        "org", "credit", organisation["id"], "--micros", "2000000", "--sandbox", "--reason", f"{word('reason')} gift"
    )
    _call(server, person, made["key"])
    _keep(server, person, made["key"])
    _call_once(server, person, made["key"])
    _go_on(server, person, made["key"])
    status, made = browser.api("POST", "/api/v1/keys", {"name": f"{word('storing')} key", "store_days": 23})
    assert status == 201, made
    _call_stored(server, person, made["key"])
    words = ("--name", f"{word('party')} Works", "--address", "Street 1", "--country", "DE")
    server.cli("invoice", "profile", "--org", organisation["id"], *words)
    asyncio.run(money.plant(Instance(server), organisation["id"], person.words))
    return person


def _keep(server: RunningServer, person: Person, key: str) -> None:
    """Files, one of them so large that it is an object, and a batch that stays under way with an answer in it."""
    word, headers = person.words.word, {"authorization": f"Bearer {key}"}

    def upload(name: str, data: bytes, purpose: str) -> str:
        lead = "--plum\r\nContent-Disposition: form-data; name="
        form = f'{lead}"purpose"\r\n\r\n{purpose}\r\n{lead}"file"; filename="{name}"\r\n\r\n'.encode() + data
        kind = {**headers, "content-type": "multipart/form-data; boundary=plum"}
        status, _, answer = server.http("POST", "/v1/files", form + b"\r\n--plum--\r\n", headers=kind)
        assert status == 200, answer
        return json.loads(answer)["id"]

    upload(f"{word('filename')}.txt", word("filebody").encode(), "user_data")
    upload("large.txt", f"{word('filelarge')} ".encode() + b"plum " * (bounds.CONTENT_INLINE_BYTES // 4), "user_data")
    path = "/v1/chat/completions"
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": path,
            "body": {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}]},
        }
        for number, text in enumerate((f"{word('outcome')} [[echo]]", "[[delay-ms=600000]]"))
    ]
    order = {
        "input_file_id": upload("in.jsonl", "\n".join(map(json.dumps, lines)).encode(), "batch"),
        "endpoint": path,
        "completion_window": "24h",
        "metadata": {"job": word("metadata")},
    }
    status, _, answer = server.http("POST", "/v1/batches", order, headers=headers)
    assert status == 200, answer
    batch = f"/v1/batches/{json.loads(answer)['id']}"
    eventually(lambda: json.loads(server.http("GET", batch, headers=headers)[2])["request_counts"]["completed"], 20)


def _go_on(server: RunningServer, person: Person, key: str) -> None:
    """Responses that are kept because the call says so, one of them so long that it is an object."""
    word, headers = person.words.word, {"authorization": f"Bearer {key}"}
    long = f"{word('responselarge')} " + "plum " * (bounds.CONTENT_INLINE_BYTES // 4)
    for text in (f"{word('response')} [[echo]]", long):
        body = {"model": "sandbox/chat", "input": text, "store": True}
        status, _, answer = server.http("POST", "/v1/responses", body, headers=headers)
        assert status == 200, answer
        path = f"/v1/responses/{json.loads(answer)['id']}"
        status, _, answer = server.http("GET", path, headers=headers)
        assert status == 200, answer


def _call_once(server: RunningServer, person: Person, key: str) -> None:
    """A call that says it is to be made once, so that its answer is kept for who asks again."""
    text = f"{person.words.word('again')} [[echo]]"
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "plum"}
    status, _, answer = server.http("POST", "/v1/chat/completions", body, headers=headers)
    assert status == 200, answer
    # It is kept a moment after it was given.
    eventually(lambda: server.http("POST", "/v1/chat/completions", body, headers=headers)[0] == 200)


def _call_stored(server: RunningServer, person: Person, key: str) -> None:
    """Calls of a key that keeps content: one whose answer says its words again, one so large that it is an object."""
    word, headers = person.words.word, {"authorization": f"Bearer {key}"}
    body: dict[str, object] = {}
    for text in (f"{word('stored')} [[echo]]", f"{word('large')} " + "plum " * (bounds.CONTENT_INLINE_BYTES // 4)):
        body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}]}
        status, _, answer = server.http("POST", "/v1/chat/completions", body, headers=headers)
        assert status == 200, answer
    server.http("POST", "/v1/chat/completions", {**body, "model": "sandbox/fail-500"}, headers=headers)


def _call(server: RunningServer, person: Person, key: str) -> None:
    """Calls with words in everything that a caller sends: content, identity, headers, query, broken bodies."""
    word = person.words.word
    headers = {
        "authorization": f"Bearer {key}",
        "user-agent": f"client/{word('agent')}",
        "x-forwarded-for": f"203.0.113.7, {word('forwarded')}",
        "x-request-id": word("forwarded"),
    }
    body = {
        "model": "sandbox/chat",
        "user": word("user"),
        "metadata": {"who": word("user")},
        "messages": [
            {"role": "system", "content": word("system")},
            {"role": "user", "content": f"{word('prompt')} [[echo]]"},
        ],
    }
    for stream in (False, True):
        status, _, answer = server.http("POST", "/v1/chat/completions", {**body, "stream": stream}, headers=headers)
        assert status == 200, answer
    server.http("POST", "/v1/chat/completions", b'{"' + word("broken").encode(), headers=headers)
    server.http("POST", f"/v1/chat/completions?q={word('query')}", {**body, "model": word("broken")}, headers=headers)
    server.http("GET", f"/v1/models?key={word('query')}", headers=headers)
    server.http("POST", "/v1/chat/completions", body, headers=headers | {"authorization": f"Bearer {word('wrongkey')}"})
    wrong = Browser(server, agent=f"{word('agent')}")
    wrong.get("/sign-in")
    wrong.post("/sign-in", "sign_in", good=False, email=person.email, password=f"no-{word('password')}-never")


def in_service(instance: Instance, browser: Browser) -> list[tuple[str, bytes]]:
    """What the running service gives whoever may ask for everything: every row, keystore and all, pages, metrics."""
    server = instance.server
    asked = [("every row", instance.dump())]
    asked += [(path, browser.get(path).encode()) for path in ("/outbox", "/home", "/settings", "/proofs", "/team")]
    asked += [("/metrics", server.http("GET", "/metrics", key=None)[2])]
    return asked + list(instance.outside())


@pytest.mark.timeout(300)
def test_nothing_of_an_erased_member_can_be_recovered(
    server: RunningServer, tmp_path: Path, sizes: Sizes, mark: str
) -> None:
    instance = Instance(server)
    operator = Browser(server)
    operator.get("/sign-in")
    operator.post("/sign-in", "sign_in", email=server.demo["owner_email"], password=server.demo["owner_password"])
    erased, spared = plant(server, mark, "e"), plant(server, mark, "s")
    backups, bases, exports = tmp_path / "backups", tmp_path / "bases", tmp_path / "exports"
    server.cli("backup", "create", "--kind", "base", "--out", str(bases))
    status, made = erased.browser.api("POST", "/api/v1/keys", {"name": f"{erased.words.word('logged')} key"})
    assert status == 201, made
    expected = _kept_of(erased, NEVER) | _kept_of(spared, NEVER)
    assert spray(erased) > 15
    sprayed = erased.words.planted - expected
    left = {word for word in expected if word[0] == "s" or word[1:] in LEDGER}
    eventually(lambda: instance.sql("SELECT count(*) FROM content.item")[0][0] == 6)

    # Before: each word is there for whoever has the files and the keys, and none of them plain.
    before, dump = (
        instance.copy(tmp_path / "before"),
        ("a logical backup", instance.dump("--exclude-schema", "keystore")),
    )
    held_before = instance.held()
    server.cli("backup", "create", "--out", str(backups))
    server.cli("backup", "log", "--out", str(bases))
    server.cli("backup", "keys", "--out", str(exports), RUXA_RECOVERY_PASSPHRASE="plum-oak-and-elderberry-31")
    attack = look_at(instance.attack(mark), files(before))
    control = attack.solve(held_before)
    assert expected <= words(control) <= expected | sprayed, told(control)
    assert [find for find in control if not find.how.startswith("sealed")] == [], told(control)
    _is_total(instance, control)

    # A logical backup and the export of the keystore open with the kit, and with them every word that lives.
    kept = look_at(instance.attack(mark), files(exports))
    look_at(kept, opened(instance, exports, kept.carved(held_before)))
    look_at(kept, opened(instance, backups, kept.carved(held_before)))
    assert words(kept.solve(held_before)) >= BACKED_UP

    # With kit and targets alone, the base backup and the log after it say everything but what lies in objects.
    targets = look_at(instance.attack(mark), opened(instance, bases, []), opened(instance, exports, []))
    from_targets = targets.solve(exported(instance, exports))
    lying_apart = {who + word for who in "es" for word in ("large", "filelarge", "responselarge")}
    assert words(from_targets) >= expected - lying_apart, sorted(expected - words(from_targets))
    assert {find.word for find in from_targets if "/wal/" in find.where} >= {"elogged"}

    certificate = server.cli_json("subject", "erase", erased.email, "--yes")["certificate"]
    assert certificate["kind"] == "member"
    objects = [path for path in (server.data / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 4, "what is left is the other's request, answer, file and response"

    # At once: in service and in logical backups, with every secret that is held.
    service = look_at(instance.attack(mark), in_service(instance, operator), [dump])
    look_at(service, opened(instance, backups, service.carved(instance.held())))
    served = service.solve(instance.held())
    assert words(served) == left, told(served)
    assert not {find.word for find in served if not find.how.startswith("sealed")} - SHOWN, told(served)
    if sizes.long:
        look_at(attack, files(instance.copy(tmp_path / "at-erasure")))

    # When the epoch has ended: in heap, write-ahead log and every old copy of keystore and database too.
    assert server.stop() == 0, server.output()
    server.env["RUXA_CLOCK_OFFSET"] = "+8d"
    server.start()
    asyncio.run(_end_epoch(instance))
    server.cli("backup", "expire", "--keys-dir", str(exports))
    held = instance.held() | exported(instance, exports)
    attack.learn(instance.kids(), instance.epochs())
    look_at(attack, files(instance.copy(tmp_path / "later")), in_service(instance, operator), [dump])
    for target in (backups, bases, exports):
        look_at(attack, files(target), opened(instance, target, attack.carved(held)))
    after = attack.solve(held)
    assert words(after) == left, told(find for find in after if find.word not in left)
    # It is the epoch's end that did it: with its key the same copies still say everything.
    assert words(attack.solve(held_before)) == words(control)


def _kept_of(person: Person, never: frozenset[str]) -> set[str]:
    return {word for word in person.words.planted if word[1:] not in never}


def _is_total(instance: Instance, control: list[Find]) -> None:
    """Every sealed place was planted in: a new one fails here until somebody plants in it, or says why not."""
    opened = {find.how.rpartition("|")[0].rpartition("|")[2] + "|" + find.how.rpartition("|")[2] for find in control}
    places = {
        "|".join(sealing.info.split("|")[2:]) for sealing in instance.sealings() if "|object|" not in sealing.info
    }
    assert places - opened - CLOSED - HOUSE == set()


async def _end_epoch(instance: Instance) -> None:
    """What the hourly job does once the epoch is old enough."""
    vault = await Vault.unlock(instance.address, instance.keys, clock=Clock(int(timedelta(days=8).total_seconds())))
    try:
        assert await vault.rotate_epoch_if_due() is not None or await vault.epoch_age() < timedelta(days=1)
    finally:
        await vault.close()
