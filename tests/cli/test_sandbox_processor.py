"""``ruxa sandbox --processor``: a processor for one's own tests, with all that a caller needs printed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx

from fixtures_server import environment


def test_it_prints_its_keys_serves_and_leaves() -> None:
    command = [
        sys.executable,
        "-m",
        "ruxa",
        "sandbox",
        "--processor",
        "--port",
        "0",
        "--webhook-url",
        "http://127.0.0.1:9/w",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(7)]
        url = re.fullmatch(r"The sandbox processor listens on (http://127\.0\.0\.1:\d+)", lines[0])
        assert url
        told = dict(line.split(": ", 1) for line in lines[1:])
        bearer = {"authorization": f"Bearer {told['Stripe key']}"}
        with httpx.Client(base_url=url[1]) as http:
            endpoints = http.get("/v1/webhook_endpoints", headers=bearer).json()["data"]
            assert [one["url"] for one in endpoints] == ["http://127.0.0.1:9/w/stripe"]
            auth = (told["PayPal client id"], told["PayPal secret"])
            asked = http.post("/v1/oauth2/token", auth=auth, data={"grant_type": "client_credentials"})
            assert asked.status_code == 200
        assert told["PayPal root certificate"] == f"{url[1]}/_sandbox/paypal/root.pem"
        assert told["Stripe webhook secret"].startswith("whsec_")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
