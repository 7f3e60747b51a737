"""What each version of Andon stored, kept for good: `python -m tests.histories` writes it for the version at hand.

`tests/fixtures/histories/<schema>/` holds two files, and `tests/unit/test_histories.py` reads them with every build:

* `shapes.jsonl` (`shapes.py`): one of everything that can be stored, every field filled;
* `chains.jsonl` (`chains.py`): the audit chains and records that real scenarios left in a real store.

A folder is written while its schema is the present one, and never again once the number was raised (docs/adr/0012).
"""
