#!/usr/bin/env bash
# The benchmark: installs the peers from their registries, then measures them, the floor and us in
# turn. QUICK=1 for five minutes. Plots need matplotlib, which gets a folder of its own; everything
# that is installed stays below target/bench.
set -euo pipefail
cd "$(dirname "$0")/.."
home="${CARGO_TARGET_DIR:-target}/bench"
venv="$home/venv"
if [ ! -f "$venv/.installed" ] || ! cmp -s bench/requirements.txt "$venv/.installed"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
    cp bench/requirements.txt "$venv/.installed"
fi
exec "$venv/bin/python" bench/bench.py ${QUICK:+--quick} "$@"
