#!/usr/bin/env bash
# Builds everything and starts the server here; it prints what memory it found and its address.
# `ddx plan` tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh
exec "${CARGO_TARGET_DIR:-target}/release/ddx" serve "$@"
