"""Which addresses a configured host may stand for: pure, asked before every connection that Andon opens by HTTP.

The host of an address is written by an operator and never holds text from an alert. What it *resolves to* is somebody
else's word, so it is judged each time: by `bot.adapters.outgoing` before a connection, and by the lint where an address
is written as a number. Three rules:

    never         what no service of a trading floor has: link-local and the clouds' metadata services, multicast,
                  unspecified and reserved addresses; also where an IPv6 address carries one of them
    a number, or  anything else: whoever writes 10.0.0.5, `alertmanager` or risk.internal means their own network
    a local name
    other names   public addresses; private or loopback ones only with `allow_private: true`, for DNS may be forged,
                  and a rebound name would turn a request for somebody else into one for a neighbour
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import urlsplit

Address: TypeAlias = IPv4Address | IPv6Address

NEVER: Final = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",  # "this host": connecting there reaches loopback on Linux; RFC 6890
        "169.254.0.0/16",  # link-local, and the metadata services of AWS, Azure, GCP, …; RFC 3927
        "224.0.0.0/4",  # multicast; RFC 5771
        "240.0.0.0/4",  # reserved, and broadcast; RFC 6890
        "100.100.100.200/32",  # metadata: https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
        "168.63.129.16/32",  # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "::/128",  # unspecified: the same as 0.0.0.0
        "fe80::/10",  # link-local; RFC 4291
        "fec0::/10",  # site-local, deprecated; RFC 3879
        "ff00::/8",  # multicast; RFC 4291
        "fd00:ec2::254/128",  # metadata: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
        "fd20:ce::254/128",  # metadata: https://cloud.google.com/compute/docs/metadata/querying-metadata
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291, deprecated
# Endings that no public DNS serves: RFC 6761, 6762 (also its appendix G), 8375; ICANN's .internal; Kubernetes' .svc.
LOCAL_ENDINGS: Final = (
    "localhost", "local", "internal", "home.arpa", "intranet", "private", "corp", "home", "lan", "svc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Destination:
    """One configured host, and whether a public name of it may stand for a private address."""

    host: str
    allow_private: bool = False

    @classmethod
    def of(cls, url: str, *, allow_private: bool = False) -> Destination:
        """Where a configured URL leads. ValueError when it names no host."""
        host = plain_host(urlsplit(url).hostname or "")
        if not host:
            raise ValueError("the address names no host")
        return cls(host, allow_private)

    @property
    def means_local(self) -> bool:
        """Whether the host as written says that it is of one's own network."""
        return parsed(self.host) is not None or is_local_name(self.host)

    def problem(self, text: str) -> str:
        """Why this address of the host is not connected to; "" when it may be."""
        return "; ".join(self.refusal(text))

    def refusal(self, text: str) -> tuple[()] | tuple[str, str]:
        """Why this address of the host is not connected to, and what mends that beside its url; () when it may be."""
        address = parsed(text)
        if address is None:
            return f"{text[:60]!r} is not an address", "correct the url"
        if refused := never(address):
            return f"{self.host} leads to {address}, {refused}", "correct the url"
        if self.means_local or self.allow_private or _innermost(address).is_global:
            return ()
        return (
            f"{self.host} is a public name, and leads to {address}, which is not a public address",
            "if it is yours, say allow_private: true beside its url",
        )


def plain_host(host: str) -> str:
    """A host as compared: a number in its shortest form; a name in lower case, no final dot, as it is asked of DNS."""
    host = host.lower().rstrip(".")
    if (address := parsed(host)) is not None:
        return str(address)
    try:
        return host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        return host


def is_local_name(host: str) -> bool:
    """Whether no public DNS can answer for this name: a single word, or one of the endings kept for own networks."""
    return "." not in host or any(host.endswith(f".{ending}") for ending in LOCAL_ENDINGS)


def parsed(text: str) -> Address | None:
    """The address written in `text`; None for a name, and for numbers in any other form (0x7f.1, 2130706433)."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def never(address: Address) -> str:
    """Why no configuration may lead to this address, or ""."""
    for one in {address, _innermost(address)}:
        if any(one in network for network in NEVER if network.version == one.version):
            return "where no service of yours can be (link-local, metadata, multicast or reserved)"
    return ""


def written_problem(url: str) -> str:
    """What is wrong with the host of an address as it is written, before anything is resolved; "" when nothing is."""
    host = urlsplit(url).hostname or ""
    address = parsed(host)
    if address is not None:
        refused = never(address)
        return f"{host} is an address {refused}" if refused else ""
    last = host.rstrip(".").rpartition(".")[2]
    if last[:1].isdigit() and (last.isdigit() or last.lower().startswith("0x")):  # no name ends in a number: RFC 3696
        return f"{host} is a number, but no address as it is usually written"
    return ""


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
