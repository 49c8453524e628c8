"""Tries a server against its contract, with real ids for what the contract can't invent.

Usage: contract.py BASE PARAMETERS, where PARAMETERS is an object of names and values in JSON.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

base, parameters = sys.argv[1], json.loads(sys.argv[2])

lines = [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
# Fields that no contract names are none of a server's business, and are not refused.
exception = """
[[operations]]
include-name = "PUT /{name}"
checks.negative_data_rejection.enabled = false
"""
program = Path(sys.executable).parent / "schemathesis"
arguments = [
    *("run", base + "/api/v1/openapi.json", "--no-color"),
    *("--phases", "coverage,fuzzing", "--max-examples", "15", "--request-timeout", "20"),
    # The same requests each time.
    *("--seed", "1", "--generation-deterministic"),
    # Streams do not end.
    *("--exclude-path-regex", "/events$"),
    # A file may be named as any address, so PUT is taken everywhere; the pages have the rest.
    *("--exclude-checks", "unsupported_method,allow_header_conformance"),
]
with tempfile.TemporaryDirectory(prefix="ddx-contract-") as folder:
    # It keeps what it found between runs beside its settings.
    config = Path(folder) / "schemathesis.toml"
    config.write_text("[parameters]\n" + "\n".join(lines) + "\n" + exception)
    command = [program, "--config-file", config, *arguments]
    sys.exit(subprocess.run(command, cwd=folder).returncode)
