"""The register: what is not declared is refused and told, however its name is written."""

from __future__ import annotations

import pytest

from ruxa.egress.recipient import Register
from ruxa.kernel.errors import NoUpstream
from wire_parts import SOMEBODY, Told


def test_a_destination_is_a_host_and_a_port() -> None:
    told = Told()
    register = Register(told)
    register.allow(SOMEBODY, "api.Example.com", 443)
    for written in ("api.example.com", "API.EXAMPLE.COM", "api.example.com."):
        assert register.check(written, 443) is SOMEBODY
    for host, port in (("api.example.com", 80), ("example.com", 443), ("api.example.com.evil.test", 443)):
        assert register.find(host, port) is None
        with pytest.raises(NoUpstream) as caught:
            register.check(host, port)
        assert caught.value.code == "egress_refused"
        assert told.events.pop() == ("egress.refused", {"host": host, "reason": "not in the register"})
    assert not told.events


def test_a_destination_can_be_withdrawn_and_the_register_be_read() -> None:
    register = Register(Told())
    register.allow(SOMEBODY, "a.test", 443)
    register.allow(SOMEBODY, "b.test", 443)
    register.withdraw("A.test", 443)
    register.withdraw("never.test", 1)
    assert register.destinations() == {("b.test", 443): SOMEBODY}
    register.destinations().clear()
    assert register.find("b.test", 443) is SOMEBODY
