"""AWS's own test suite for signers (awslabs/aws-c-auth, v4): the cases without a query, header by header."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ruxa.egress.sigv4 import Credentials, signed

_HOST = {"host": "example.amazonaws.com"}
_SESSION = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7"
    "mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d"
    "+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


@pytest.mark.parametrize(
    ("method", "headers", "body", "session", "names", "signature"),
    [
        pytest.param(
            "POST", {}, b"", None, "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", id="post-vanilla",
        ),
        pytest.param(
            "POST", {"my-header1": "value1"}, b"", None, "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c", id="post-header-key-sort",
        ),
        pytest.param(
            "GET", {"my-header1": " value1", "my-header2": ' "a   b   c"'}, b"", None,
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", id="get-header-value-trim",
        ),
        pytest.param(
            "POST",
            {
                "content-type": "application/x-www-form-urlencoded", "content-length": "13",
                "x-amz-content-sha256": "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
            },
            b"Param1=value1", None, "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b", id="post-x-www-form-urlencoded",
        ),
        pytest.param(
            "POST", {}, b"", _SESSION, "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead", id="post-sts-header-before",
        ),
    ],
)  # fmt: skip
def test_signs_as_awss_own_suite_has_it(
    method: str, headers: dict[str, str], body: bytes, session: str | None, names: str, signature: str
) -> None:
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", session)
    sent = signed(
        method, "/", _HOST | headers, body, credentials=credentials, region="us-east-1", service="service",
        at=datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )  # fmt: skip
    assert sent["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={names}, Signature={signature}"
    )
    assert sent["x-amz-date"] == "20150830T123600Z"
    assert "EXAMPLE" not in repr(credentials)
