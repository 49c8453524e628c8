#!/usr/bin/env bash
# Builds the pages (where Node is there) and the release binary. `build.sh pages` stops after the
# pages.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -f web/package.json ]]; then
  if command -v npm >/dev/null; then
    # npm ci empties node_modules first, so it runs only when the lock file changed since the last
    # time.
    stamp=web/node_modules/.installed-for
    want=$(sha256sum web/package-lock.json | cut -d' ' -f1)
    if [[ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]]; then
      (cd web && npm ci --no-audit --no-fund)
      echo "$want" > "$stamp"
    fi
    (cd web && npm run build)
  elif [[ -f web/dist/index.html ]]; then
    echo "npm is not installed: the pages in web/dist are taken as they are." >&2
  else
    echo "npm is not installed and web/dist is empty: the server will have no pages. Install Node.js 20 or newer." >&2
  fi
fi
[[ "${1:-}" == pages ]] && exit 0
cargo build --release --locked -p ddx
