"""Allow entries of programs: what fixes the code that is run, and what leaves it to an argument."""

from __future__ import annotations

import sys

import pytest

from policies.chosen_code import Fixed, code_of
from policies.local_targets import program_problem

LEFT_OPEN = (
    "/bin/sh", "/bin/sh -c", "/bin/bash -e /opt/x.sh", "/usr/bin/rbash", "/usr/bin/bash5", "/usr/bin/python3",
    "/usr/bin/python3.11", "/usr/bin/python3 -c", "/usr/bin/python3 -m", "/usr/bin/python3 -m runpy", "/usr/bin/pypy3",
    "/usr/bin/python3 -X dev /opt/x.py", "/usr/bin/python3.11-dbg", "/usr/bin/perl", "/usr/bin/perl5.36 -e",
    "/usr/bin/node20", "/usr/bin/php8.2 -r", "/usr/bin/lua5.4", "/usr/bin/env", "/usr/bin/env VAR=1",
    "/usr/bin/env -S /opt/x", "/usr/bin/env python3", "/usr/bin/env /usr/bin/python3", "/usr/bin/sudo",
    "/usr/bin/sudo -n", "/usr/bin/sudo -u desk", "/usr/bin/sudo -n /bin/sh", "/usr/bin/sudo -s /opt/x",
    "/usr/bin/sudo -D /tmp", "/usr/bin/sudo -n /usr/bin/env A=1", "/usr/bin/timeout", "/usr/bin/timeout 5",
    "/usr/bin/timeout 5 /usr/bin/nice", "/usr/bin/setsid", "/usr/bin/setsid -f", "/usr/bin/nohup", "/usr/bin/nice -n 5",
    "/usr/bin/stdbuf -oL", "/usr/bin/xargs /opt/x", "/usr/bin/flock /run/lock", "/usr/bin/time /opt/x",
    "/usr/sbin/chroot /srv", "/bin/su", "/usr/bin/systemd-run /opt/x",
    "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1",
    "/bin/busybox", "/bin/busybox sh", "/bin/busybox env A=1", "/bin/busybox.static sh", "/bin/toybox",
    "/usr/bin/ssh host", "/usr/bin/find", "/usr/bin/awk", "/usr/bin/gawk -f /opt/x.awk", "/usr/bin/vim.basic",
    "/usr/bin/sqlite3 /var/x.db", "/usr/bin/make -f /opt/Makefile", "/usr/bin/git", "/usr/bin/docker",
    "/usr/bin/docker exec", "/usr/bin/docker compose", "/usr/bin/docker compose run", "/usr/bin/kubectl -n trading",
    "/usr/bin/systemctl", "/usr/bin/systemctl --no-ask-password", "/usr/bin/systemctl link",
)  # fmt: skip

SETTLED = {
    "/usr/local/bin/restart-service": ("/usr/local/bin/restart-service",),
    "/usr/local/bin/sh-deploy --now": ("/usr/local/bin/sh-deploy",),
    "/opt/desk/python-restart": ("/opt/desk/python-restart",),
    "/bin/sh /opt/x.sh": ("/bin/sh", "/opt/x.sh"),
    "/bin/sh /opt/x.sh --now": ("/bin/sh", "/opt/x.sh"),
    "/usr/bin/python3.11 -I /opt/x.py restart": ("/usr/bin/python3.11", "/opt/x.py"),
    "/usr/bin/python3 -m bot.sandbox.ctl http://127.0.0.1:1 restart": ("/usr/bin/python3",),
    f"{sys.executable} -I /opt/ctl.py http://127.0.0.1:1 restart": (sys.executable, "/opt/ctl.py"),
    "/usr/bin/env A=1 B=2 /opt/x": ("/usr/bin/env", "/opt/x"),
    "/usr/bin/sudo -n -u desk /usr/bin/python3 /opt/x.py": ("/usr/bin/sudo", "/usr/bin/python3", "/opt/x.py"),
    "/usr/bin/timeout -k 5 10s /usr/bin/nice -n 5 /opt/x": ("/usr/bin/timeout", "/usr/bin/nice", "/opt/x"),
    "/usr/bin/setsid -w /opt/x": ("/usr/bin/setsid", "/opt/x"),
    "/bin/busybox sh /opt/x.sh": ("/bin/busybox", "/opt/x.sh"),
    "/bin/busybox reboot": ("/bin/busybox",),
    "/usr/bin/systemctl --no-ask-password restart": ("/usr/bin/systemctl",),
    "/usr/bin/docker restart": ("/usr/bin/docker",),
    "/usr/bin/kubectl --namespace=trading rollout restart": ("/usr/bin/kubectl",),
}


@pytest.mark.parametrize("line", LEFT_OPEN)
def test_an_entry_that_leaves_the_code_to_an_argument_is_refused(line: str) -> None:
    """Interpreters, wrappers, programs of many names and of many verbs, versions and nestings of them included."""
    problem = program_problem(line)
    assert problem is not None
    assert "would" in problem[0]
    assert problem[1]


@pytest.mark.parametrize("line", SETTLED)
def test_an_entry_that_settles_the_code_names_every_file_of_it(line: str) -> None:
    """These files are what must not be changeable by others when it is run."""
    assert program_problem(line) is None
    assert code_of(line.split(" ")) == Fixed(SETTLED[line])


def test_where_a_link_leads_to_counts_unless_the_name_chooses() -> None:
    """A name of one's own for a shell is a shell; reboot is systemctl by another name, and ls may be busybox."""
    links = {"/opt/restart": "/usr/bin/dash", "/sbin/reboot": "/usr/bin/systemctl", "/bin/ls": "/bin/busybox"}
    for line, fixed in (("/opt/restart", False), ("/opt/restart /opt/x.sh", True), ("/sbin/reboot", True),
                        ("/bin/ls", True), ("/usr/bin/sudo -n /opt/restart", False)):  # fmt: skip
        found = code_of(line.split(" "), behind=lambda path: links.get(path, path))
        assert isinstance(found, Fixed) is fixed, line
