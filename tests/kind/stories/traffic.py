#!/usr/bin/env python3
"""Clients of a registry while something happens to it: they push, note what was acknowledged, and later check all of it.

  traffic.py push  --proxy PORT --host HOST --ca FILE --log FILE [--writers 4] [--name REPOSITORY]   until SIGTERM
  traffic.py check --proxy PORT --host HOST --ca FILE --log FILE

`push` writes a line of JSON for each acknowledged tag and a last one with figures; `check` reads them all back, by tag and by
digest, and fails when one is missing or another. A tag is pushed again and again by its one writer, so that `check` also finds
one that went back in time.
"""

import argparse
import hashlib
import http.client
import json
import os
import signal
import ssl
import sys
import threading
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Client:
    def __init__(self, options):
        self.options = options
        self.context = ssl.create_default_context(cafile=options.ca)
        self.connection = None

    def ask(self, method, path, body=None, kind="application/octet-stream"):
        """The status, headers and body of an answer; None: there was none."""
        headers = {"Content-Type": kind, "Accept": MANIFEST}
        try:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection("127.0.0.1", self.options.proxy, context=self.context, timeout=10)
                self.connection.set_tunnel(self.options.host, 443)
            self.connection.request(method, path, body=body, headers=headers)
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return None, {}, str(error).encode()


def push_one(client, repository, tag, content):
    """The digest that the tag has now, if every step was acknowledged; else what failed."""
    blob = content.encode()
    status, _, body = client.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={sha256(blob)}", blob)
    if status != 201:
        return None, f"blob: {status} {body[:200]!r}"
    one = {"digest": sha256(blob), "size": len(blob)}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.example.config", **one},
            "layers": [{"mediaType": "application/vnd.example.layer", **one}],
        }
    ).encode()
    status, _, body = client.ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, MANIFEST)
    if status != 201:
        return None, f"manifest: {status} {body[:200]!r}"
    return sha256(manifest), None


def push(options):
    lock, stop = threading.Lock(), threading.Event()
    figures = {"acknowledged": 0, "failed": 0, "longest": 0.0, "last_failure": None}
    began = last = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = open(options.log, "w", buffering=1)

    def write(writer):
        nonlocal last
        client, step = Client(options), 0
        while not stop.is_set():
            step += 1
            tag = f"w{writer}-{step % 20}"
            digest, failure = push_one(client, options.name, tag, f"{os.getpid()} {writer} {step}")
            now = time.monotonic()
            with lock:
                if digest:
                    figures["longest"] = max(figures["longest"], now - last)
                    last = now
                    figures["acknowledged"] += 1
                    log.write(json.dumps({"tag": tag, "digest": digest, "step": step, "at": round(now - began, 3)}) + "\n")
                else:
                    figures["failed"] += 1
                    figures["last_failure"] = failure
                    # What is not acknowledged may have happened all the same.
                    log.write(json.dumps({"tag": tag, "maybe": step}) + "\n")
            if not digest:
                stop.wait(0.1)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(options.writers)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    figures["longest"] = round(max(figures["longest"], time.monotonic() - last), 2)
    figures["seconds"] = round(time.monotonic() - began, 1)
    log.write(json.dumps({"figures": figures}) + "\n")
    print(json.dumps(figures))


def check(options):
    client = Client(options)
    newest, doubtful, digests, figures = {}, {}, set(), None
    with open(options.log) as log:
        for line in map(json.loads, log):
            if "digest" in line:
                newest[line["tag"]] = line["digest"]
                doubtful.pop(line["tag"], None)
                digests.add(line["digest"])
            elif "maybe" in line:
                doubtful[line["tag"]] = line["maybe"]
            else:
                figures = line["figures"]
    bad = []
    for tag, digest in sorted(newest.items()):
        status, headers, body = client.ask("GET", f"/v2/{options.name}/manifests/{tag}")
        if status != 200 or sha256(body) != headers.get("Docker-Content-Digest"):
            bad.append(f"{tag}: {status}")
        elif sha256(body) != digest and tag not in doubtful:
            bad.append(f"{tag} is {sha256(body)} and not {digest}")
    for digest in sorted(digests):
        status, _, body = client.ask("GET", f"/v2/{options.name}/manifests/{digest}")
        if status != 200 or sha256(body) != digest:
            bad.append(f"{digest}: {status}")
            continue
        layer = json.loads(body)["layers"][0]["digest"]
        status, _, body = client.ask("GET", f"/v2/{options.name}/blobs/{layer}")
        if status != 200 or sha256(body) != layer:
            bad.append(f"{layer} of {digest}: {status} {body[:200]!r}")
    print(f"checked {len(newest)} tags and {len(digests)} digests: {len(bad)} bad; {json.dumps(figures)}")
    for one in bad[:20]:
        print("  ", one)
    sys.exit(1 if bad or not digests else 0)


options = argparse.ArgumentParser()
options.add_argument("verb", choices=["push", "check"])
options.add_argument("--proxy", type=int, required=True)
options.add_argument("--host", required=True)
options.add_argument("--ca", required=True)
options.add_argument("--log", required=True)
options.add_argument("--writers", type=int, default=4)
options.add_argument("--name", default="team/traffic")
options = options.parse_args()
{"push": push, "check": check}[options.verb](options)
