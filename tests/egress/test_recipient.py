"""The register: what is not declared is refused and told, however its name is written."""

from __future__ import annotations

import pytest
from msgspec import structs

from ruxa.egress.recipient import Register
from ruxa.kernel.errors import NoUpstream
from wire_parts import SOMEBODY, Told


def test_a_destination_is_a_host_and_a_port() -> None:
    told = Told()
    register = Register(told)
    register.allow(SOMEBODY, "api.Example.com", 443)
    for written in ("api.example.com", "API.EXAMPLE.COM", "api.example.com."):
        register.check(written, 443)
        assert register.find(written, 443) == (SOMEBODY,)
    for host, port in (("api.example.com", 80), ("example.com", 443), ("api.example.com.evil.test", 443)):
        assert register.find(host, port) == ()
        with pytest.raises(NoUpstream) as caught:
            register.check(host, port)
        assert caught.value.code == "egress_refused"
        assert told.events.pop() == ("egress.refused", {"host": host, "reason": "not in the register"})
    assert not told.events


def test_a_destination_can_be_withdrawn_and_the_register_be_read() -> None:
    register = Register(Told())
    register.allow(SOMEBODY, "a.test", 443)
    register.allow(SOMEBODY, "b.test", 443)
    register.withdraw(SOMEBODY, "A.test", 443)
    register.withdraw(SOMEBODY, "never.test", 1)
    assert register.destinations() == {("b.test", 443): (SOMEBODY,)}
    register.destinations().clear()
    assert register.find("b.test", 443) == (SOMEBODY,)


def test_several_recipients_behind_one_destination_are_each_their_own() -> None:
    """Two contracts with one vendor: neither hides the other, and one may go."""
    strict, renewed = (structs.replace(SOMEBODY, name="strict", where=where) for where in ("US", "IE"))
    register = Register(Told())
    for recipient in (SOMEBODY, strict, renewed):
        register.allow(recipient, "api.test", 443)
    assert register.destinations() == {("api.test", 443): (SOMEBODY, renewed)}
    register.withdraw(SOMEBODY, "api.test", 443)
    register.check("api.test", 443)
    register.withdraw(strict, "api.test", 443)
    assert register.destinations() == {}
