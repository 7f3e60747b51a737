#!/bin/sh
# Renews the locks of the image: what it runs (requirements.lock, from pyproject.toml's dependencies) and what builds it
# (requirements-build.lock, from its build-system). Every version pinned, every file by its hash; `make lock` runs it.
# Options go to the resolver, such as `--upgrade` or `--upgrade-package redis`.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'uv>=0.5,<1'
"$python" -c '
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    sys.stdout.write("\n".join(tomllib.load(file)["build-system"]["requires"]) + "\n")
' >"$work/requirements-build.in"

lock() { # SOURCE LOCK: keeps the versions already in LOCK unless asked otherwise
  source=$1 into=$2
  shift 2
  "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --no-header --output-file "$into" "$@" "$source"
}
lock pyproject.toml deploy/requirements.lock "$@"
lock "$work/requirements-build.in" deploy/requirements-build.lock "$@"
