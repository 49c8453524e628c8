"""Tries a server against its contract, with real ids for what the contract can't invent.

Usage: contract.py BASE PARAMETERS, where PARAMETERS is an object of names and values in JSON.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

base, parameters = sys.argv[1], json.loads(sys.argv[2])

folder = Path(tempfile.mkdtemp(prefix="ddx-contract-"))
config = folder / "schemathesis.toml"
lines = [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
# Fields that no contract names are none of a server's business, and are not refused.
exception = """
[[operations]]
include-name = "PUT /{name}"
checks.negative_data_rejection.enabled = false
"""
config.write_text("[parameters]\n" + "\n".join(lines) + "\n" + exception)

program = Path(sys.executable).parent / "schemathesis"
arguments = [
    *("--config-file", config, "run", base + "/api/v1/openapi.json", "--no-color"),
    *("--phases", "coverage,fuzzing", "--max-examples", "15", "--request-timeout", "20"),
    # The same requests each time.
    *("--seed", "1", "--generation-deterministic"),
    # Streams do not end.
    *("--exclude-path-regex", "/events$"),
    # A file may be named as any address, so PUT is taken everywhere; the pages have the rest.
    *("--exclude-checks", "unsupported_method,allow_header_conformance"),
]
os.chdir(folder)
os.execv(program, [program, *map(str, arguments)])
