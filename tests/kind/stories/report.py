#!/usr/bin/env python3
"""Looks into a report: report.py FILE < lines of `NAME TEXT`, where a file whose name fits NAME (with *) has to have TEXT in it.

No file may have a private key in it, or what the stories' Secret for the bucket holds.
"""

import fnmatch
import sys
import zipfile

SECRETS = ["PRIVATE KEY", "testtest"]

with zipfile.ZipFile(sys.argv[1]) as report:
    files = {name: report.read(name).decode() for name in report.namelist()}
bad = [f"{name} has {secret!r} in it" for name, text in files.items() for secret in SECRETS if secret in text]
for line in sys.stdin:
    pattern, wanted = line.rstrip("\n").split(" ", 1)
    if not any(wanted in files[name] for name in fnmatch.filter(files, pattern)):
        bad.append(f"no {pattern} has {wanted!r} in it")
print(f"{len(files)} files, {sum(map(len, files.values()))} bytes")
print("\n".join(bad))
if bad:
    print("could-not-read.txt:", files.get("could-not-read.txt"), "files:", *sorted(files), sep="\n  ")
sys.exit(1 if bad else 0)
