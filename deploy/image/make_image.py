#!/usr/bin/python3
"""An OCI image (image-spec 1.1, as a layout on disk) of what an installation has, and the shared libraries that it needs: no shell, no package
manager, one layer. The same inputs give the same bytes: names are sorted, and times are SOURCE_DATE_EPOCH.

Usage: make_image.py --version V --release DIR --out DIR     DIR of the release: as `make release` leaves it
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
USER = 65532  # nonroot, as others' images without a shell have it
CERTIFICATES = pathlib.Path("/usr/share/ca-certificates/mozilla")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LIBEXEC = "usr/libexec/holdfast/"


def libraries(binaries):
    """Path in the image -> file here, of every shared library and the loader."""
    found = {}
    for line in subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=True).stdout.splitlines():
        words = line.split()
        path = next((word for word in words if word.startswith("/") and not word.endswith(":")), None)
        if "not found" in line:
            sys.exit("make_image: %s" % line.strip())
        if path:
            name = path if path.startswith("/usr/") else "/usr" + path
            found[name.lstrip("/")] = pathlib.Path(path).resolve()
    return found


def stripped(path, folder):
    out = folder / path.name
    subprocess.run(["strip", "-o", out, path], check=True)
    return out.read_bytes()


def certificates():
    files = sorted(CERTIFICATES.glob("*.crt"))
    if not files:
        sys.exit("make_image: no certificates in %s: install ca-certificates" % CERTIFICATES)
    return b"".join(file.read_bytes() for file in files)


def contents(release, scratch):
    """Path in the image -> (bytes, mode)"""
    binaries = sorted(path for path in (release / "bin").iterdir() if path.name != "provider-simulator")
    files = {("usr/bin/" if path.name == "holdfast" else LIBEXEC) + path.name: (stripped(path, scratch), 0o755) for path in binaries}
    files |= {name: (path.read_bytes(), 0o755) for name, path in libraries(binaries).items()}
    for folder, pattern in (("topics", "*.topic"), ("avro", "*.avsc"), ("avro/history", "*.avsc")):
        files |= {"usr/share/holdfast/%s/%s" % (folder, path.name): (path.read_bytes(), 0o644) for path in pathlib.Path(folder).glob(pattern)}
    files["usr/share/holdfast/schemas.jsonl"] = ((release / "gen/schemas.jsonl").read_bytes(), 0o644)
    files["etc/passwd"] = (b"root:x:0:0::/:/\nholdfast:x:%d:%d::/var/lib/holdfast:/\n" % (USER, USER), 0o644)
    files["etc/group"] = (b"root:x:0:\nholdfast:x:%d:\n" % USER, 0o644)
    files["etc/ssl/certs/ca-certificates.crt"] = (certificates(), 0o644)
    return files


def layer(files):
    """The bytes of a tar with every folder before what is in it."""
    out = io.BytesIO()
    owned = {"var/lib/holdfast", "tmp"}
    folders = {str(parent) for name in files for parent in pathlib.PurePosixPath(name).parents if str(parent) != "."} | owned | {"var", "var/lib"}
    links = {"lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(folders | set(files) | set(links)):
            info = tarfile.TarInfo(name)
            info.mtime = EPOCH
            if name in folders:
                info.type, info.mode = tarfile.DIRTYPE, 0o750 if name in owned else 0o755
                info.uid = info.gid = USER if name in owned else 0
                tar.addfile(info)
            elif name in links:
                info.type, info.linkname = tarfile.SYMTYPE, links[name]
                tar.addfile(info)
            else:
                data, info.mode = files[name]
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Layout:
    def __init__(self, folder):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, media, data):
        """Its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media, "digest": "sha256:" + digest, "size": len(data)}

    def add_json(self, media, value):
        return self.add(media, json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def write_image(out, files, version):
    kind = "application/vnd.oci.image."
    layout, tar = Layout(out), layer(files)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    blob = layout.add(kind + "layer.v1.tar+gzip", gzip.compress(tar, 9, mtime=0))
    config = layout.add_json(kind + "config.v1+json", {
        "created": created, "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()), "os": "linux",
        "config": {"User": "%d:%d" % (USER, USER), "Env": ["PATH=/%s:/usr/bin" % LIBEXEC.rstrip("/"), "HOLDFAST_STATE_DIR=/var/lib/holdfast",
                                                           "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
                   "Cmd": ["/usr/bin/holdfast", "--help"], "WorkingDir": "/var/lib/holdfast", "Volumes": {"/var/lib/holdfast": {}},
                   "Labels": {"org.opencontainers.image.title": "holdfast", "org.opencontainers.image.version": version,
                              "org.opencontainers.image.licenses": "Apache-2.0"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
        "history": [{"created": created, "created_by": "make image"}]})
    manifest = layout.add_json(kind + "manifest.v1+json", {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "config": config, "layers": [blob]})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version}
    (out / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": kind + "index.v1+json", "manifests": [manifest]}, sort_keys=True))
    return blob["size"], len(tar), manifest["digest"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("version", "release", "out"):
        parser.add_argument("--" + name, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = contents(pathlib.Path(options.release), pathlib.Path(scratch))
    packed, unpacked, digest = write_image(pathlib.Path(options.out), files, options.version)
    print("%s: holdfast:%s, %.1f MiB (%.1f unpacked), %d files, %s" % (options.out, options.version, packed / 2**20, unpacked / 2**20, len(files), digest))


if __name__ == "__main__":
    main()
