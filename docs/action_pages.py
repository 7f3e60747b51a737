"""One page per action and per diagnosis of Andon's own, and their lists, by `remediations.pages`.

Used by `docs/generate.py`. Nothing here knows any action by name.
"""

from __future__ import annotations

import json

from reference_pages import NOTE

from remediations import pages
from remediations.catalogue import ActionCatalogue
from remediations.pages import cell


def action_pages(catalogue: ActionCatalogue) -> dict[str, str]:
    """Action name -> its page; `README` -> their list."""
    entries = {name: entry for name in catalogue.names() if (entry := catalogue.entry(name)) is not None}
    made = {
        name: _whole(pages.of_action(entry, json.loads(catalogue.params_schema(name)), entries), entry.action)
        for name, entry in entries.items()
    }
    rows = [
        f"| [`{name}`]({name}.md) | {cell(entry.spec.summary)} | {entry.spec.risk} | {entry.spec.direction} | "
        f"{entry.spec.delivery} | {entry.spec.source} |\n"
        for name, entry in entries.items()
    ]
    made["README"] = "".join(
        [
            NOTE, "# Actions\n\nWhat a policy's plan may ask for. How to write one: [actions](../../actions.md).\n\n",
            "| action | does | risk | direction | delivery | row |\n|---|---|---|---|---|---|\n", *rows,
            "\nRead-only looks at a system, for `diagnose:`, are [diagnoses](../diagnoses/README.md).\n",
        ]
    )  # fmt: skip
    return made


def diagnosis_pages(catalogue: ActionCatalogue) -> dict[str, str]:
    """Diagnosis name -> its page; `README` -> their list."""
    entries = {name: entry for name in catalogue.diagnoses() if (entry := catalogue.diagnosis_entry(name)) is not None}
    made = {name: _whole(pages.of_diagnosis(entry), entry.diagnosis) for name, entry in entries.items()}
    rows = [f"| [`{name}`]({name}.md) | {cell(entry.summary)} | {entry.source} |\n" for name, entry in entries.items()]
    made["README"] = "".join(
        [
            NOTE, "# Diagnoses\n\nRead-only looks that a policy may name under `diagnose:`. Their finding goes on the ",
            "incident's card; they decide nothing. How to write one: [actions](../../actions.md).\n\n",
            "| diagnosis | tells | row |\n|---|---|---|\n", *rows,
        ]
    )  # fmt: skip
    return made


def _whole(page: str, made: type) -> str:
    """The page with where it comes from."""
    file = made.__module__.replace(".", "/") + ".py"
    return f"{NOTE}{page}\nSource: [`{file}`](../../../{file})\n"
