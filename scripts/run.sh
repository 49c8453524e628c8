#!/usr/bin/env bash
# Builds everything and starts the server here; its memory plan and its address are printed first.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh
ddx="${CARGO_TARGET_DIR:-target}/release/ddx"
"$ddx" plan || true # it prints why; the server's own start then says the same and ends
exec "$ddx" serve "$@"
