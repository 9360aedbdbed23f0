"""Makes the images that the clients push: OCI layouts with real layers, the same bytes for the same arguments.

    images.py DIRECTORY

makes DIRECTORY/plain (gzip layers), DIRECTORY/zstd (a zstd layer), DIRECTORY/two-platforms (an image index).
"""

import gzip
import hashlib
import io
import json
import pathlib
import random
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def tar(name: str, size: int, seed: int) -> bytes:
    """A tar archive of one file of random bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o644
        archive.addfile(entry, io.BytesIO(random.Random(seed).randbytes(size)))
    return out.getvalue()


def zstd(content: bytes) -> bytes:
    """A zstd frame (RFC 8878) of raw blocks: valid for every reader, and no library is needed to make it."""
    out = bytearray(b"\x28\xb5\x2f\xfd" + b"\x00\x58")  # no checksum, no content size, a window of 2 MiB
    step = 128 << 10
    for start in range(0, len(content), step):
        block = content[start : start + step]
        last = start + step >= len(content)
        out += (len(block) << 3 | last).to_bytes(3, "little") + block
    return bytes(out)


class Layout:
    def __init__(self, path: pathlib.Path):
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, media_type: str, content: bytes) -> dict:
        name = hashlib.sha256(content).hexdigest()
        (self.path / "blobs" / "sha256" / name).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}

    def json(self, media_type: str, content: dict) -> dict:
        return self.blob(media_type, json.dumps(content, separators=(",", ":")).encode())

    def image(self, architecture: str, layers: list[bytes], compress: str) -> dict:
        packed = [zstd(layer) if compress == "zstd" else gzip.compress(layer, 1, mtime=0) for layer in layers]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/file"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(CONFIG, config),
            "layers": [self.blob(f"{LAYER}+{compress}", layer) for layer in packed],
        }
        return self.json(MANIFEST, manifest)

    def end(self, root: dict) -> None:
        root = {**root, "annotations": {"org.opencontainers.image.ref.name": "latest"}}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]}
        (self.path / "index.json").write_text(json.dumps(index))


def main(directory: pathlib.Path) -> None:
    plain = Layout(directory / "plain")
    # One layer is below the size at which blobs are kept in the index, one is above.
    plain.end(plain.image("amd64", [tar("small", 5_000, 1), tar("large", 3_000_000, 2)], "gzip"))

    packed = Layout(directory / "zstd")
    packed.end(packed.image("amd64", [tar("file", 400_000, 3)], "zstd"))

    both = Layout(directory / "two-platforms")
    children = []
    for seed, architecture in enumerate(["amd64", "arm64"], start=4):
        child = both.image(architecture, [tar("file", 100_000, seed)], "gzip")
        children.append({**child, "platform": {"os": "linux", "architecture": architecture}})
    both.end(both.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}))


main(pathlib.Path(sys.argv[1]))
