"""Which addresses a configured host may stand for (law 11: nothing that came in chooses where a request goes)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.destinations import NEVER, Destination, parsed, plain_host, written_problem
from policies.loader import Loaded
from policies.targets import TargetsDocument, mistakes

METADATA = (
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
    "fe80::1", "fe80::a9fe:a9fe%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "::a9fe:a9fe", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:0.0.0.0",
)  # fmt: skip
PRIVATE = ("127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:127.0.0.1")
PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("url", ["http://risk.example.com", "http://localhost:1", "http://risk.internal", "http://x"])
def test_no_configuration_leads_to_a_metadata_service(url: str, address: str) -> None:
    """Link-local, metadata, multicast and unspecified addresses are refused, also inside IPv6, also when allowed."""
    assert "where no service of yours can be" in Destination.of(url, allow_private=True).problem(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_public_name_does_not_lead_inside(address: str) -> None:
    """A name that DNS of the world answers for may not stand for a neighbour, unless the operator said so."""
    said = Destination.of("https://api.example.com/v1").problem(address)
    assert "is not a public address" in said
    assert "allow_private: true" in said
    assert Destination.of("https://api.example.com", allow_private=True).problem(address) == ""


@pytest.mark.parametrize(
    "host", ["localhost", "alertmanager", "risk.internal", "am.monitoring.svc.cluster.local", "a.svc"]
)
@pytest.mark.parametrize("address", [*PRIVATE, *PUBLIC])
def test_a_name_of_ones_own_network_leads_where_it_leads(host: str, address: str) -> None:
    """No public DNS answers for it, so nothing has to be said beside it."""
    assert Destination.of(f"http://{host}:8080").problem(address) == ""


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_name_leads_to_public_addresses(address: str) -> None:
    """What is not refused is allowed."""
    assert Destination.of("https://api.example.com").problem(address) == ""


@pytest.mark.parametrize("text", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "127.1", "", "x" * 300])
def test_a_number_in_any_other_form_is_no_address(text: str) -> None:
    """What a C library would take for an address and a list of networks would not see, is refused."""
    assert Destination("localhost", allow_private=True).problem(text)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://[fe80::1]:80", "http://[::ffff:169.254.169.254]", "http://0.0.0.0",
     "http://2852039166/", "http://0xA9FEA9FE", "http://127.1", "http://0251.0376.0251.0376"],
)  # fmt: skip
def test_an_address_that_is_never_reached_is_refused_at_load(url: str) -> None:
    """The lint says so before the first request does."""
    assert written_problem(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://10.0.0.5", "https://api.example.com", "http://a1", "unix:///x"]
)
def test_an_ordinary_address_is_not(url: str) -> None:
    """Loopback and private networks are where trading systems live."""
    assert written_problem(url) == ""


def test_a_host_is_compared_as_it_is_resolved() -> None:
    """Case, a final dot and Unicode make no other host of it."""
    assert Destination.of("http://API.Example.COM.:80").host == "api.example.com"
    assert Destination.of("http://bücher.example").host == plain_host("BÜCHER.example") == "xn--bcher-kva.example"
    assert Destination.of("http://[0:0:0:0:0:0:0:1]:80").host == "::1"
    with pytest.raises(ValueError, match="names no host"):
        Destination.of("http:///path")


@given(st.ip_addresses())
def test_no_address_of_a_forbidden_network_is_ever_allowed(address: object) -> None:
    """For any address at all: in a forbidden network means refused, whoever allows what."""
    found = parsed(str(address))
    assert found is not None
    forbidden = any(found in network for network in NEVER if network.version == found.version)
    if forbidden:
        assert Destination("localhost", allow_private=True).problem(str(address))


POLICY = "system: trading-core\npolicies:\n  - {name: p, match: ['alertname=\"A\"'], mode: auto}\n"
METADATA_URL = "http://169.254.169.254/latest/meta-data"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"connector": "http", "url": METADATA_URL}, "no service of yours can be"),
        ({"connector": "prometheus", "url": "http://2852039166"}, "no address as it is usually written"),
        ({"connector": "redis", "url": "redis://169.254.169.254:6379"}, "no service of yours can be"),
        ({"connector": "redis", "url": "redis://a:6379", "allow_private": True}, "means nothing for a redis"),
        ({"connector": "http", "url": "http://risk.example.com", "allow_private": True}, ""),
    ],
)
def test_targets_are_judged_at_load(changes: dict[str, object], problem: str) -> None:
    """Before anything connects, with the path of the key."""
    component = {"name": "risk", "role": "risk", **changes}
    document = TargetsDocument.model_validate({"systems": {"trading-core": {"components": [component]}}})
    found = [message for _, message, _ in mistakes(document)]
    assert found == [] if not problem else [problem in message for message in found] == [True]


@pytest.mark.parametrize("key", ["heartbeat", "second_route", "alertmanagers"])
def test_other_addresses_are_judged_at_load(load_text: Callable[..., Loaded], key: str) -> None:
    """Everything in andon.yaml that is asked or told by HTTP."""
    value = f"[{{name: main, url: '{METADATA_URL}'}}]" if key == "alertmanagers" else f"{{url: '{METADATA_URL}'}}"
    (problem,) = load_text(POLICY, andon=f"systems: [trading-core]\n{key}: {value}\n").problems
    assert "no service of yours can be" in problem.message
