"""tuspy against a server: tuspy_client.py MODE ENDPOINT FILE. The last line of output is JSON."""

import json
import os
import sys

from tusclient import client


def main(mode: str, endpoint: str, file: str) -> None:
    tus = client.TusClient(endpoint)
    metadata = {"filename": os.path.basename(file)}
    chunk = 1024 * 1024
    if mode == "upload":
        uploader = tus.uploader(file, metadata=metadata)
        uploader.upload()
    elif mode == "checksum":
        uploader = tus.uploader(file, chunk_size=chunk, metadata=metadata, upload_checksum=True)
        uploader.upload()
    elif mode == "resume":
        first = tus.uploader(file, chunk_size=chunk, metadata=metadata)
        for _ in range(3):
            first.upload_chunk()
        uploader = tus.uploader(file, chunk_size=chunk, url=first.url)
        if uploader.offset != 3 * chunk:
            raise SystemExit(f"the server tells offset {uploader.offset} after {3 * chunk} bytes")
        uploader.upload()
    else:
        raise SystemExit(f"unknown mode {mode}")
    print(json.dumps({"url": uploader.url, "offset": uploader.offset}))


main(*sys.argv[1:])
