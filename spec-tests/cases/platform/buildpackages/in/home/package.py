"""Writes buildpackages to /home: a good one, and others that are wrong in one way each."""
import hashlib, io, json, tarfile

LABEL = "io.buildpacks.buildpackage.metadata"


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            body = text if isinstance(text, bytes) else text.encode()
            entry.size, entry.mode = len(body), 0o755
            archive.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def buildpack(name, stacks, at="cnb/buildpacks/golden_{}/1.0.0", order=()):
    at = at.format(name)
    order = f"[[order]]\ngroup = [{', '.join(order)}]\n" if order else ""
    toml = f'api = "0.10"\n[buildpack]\nid = "golden/{name}"\nversion = "1.0.0"\n{stacks}{order}'
    script = f"#!/bin/bash\necho {name} ran\n"
    return tar({f"{at}/buildpack.toml": toml, f"{at}/bin/detect": script, f"{at}/bin/build": script})


def package(file, layers, label, mode="w"):
    blobs, descriptors = {}, []

    def blob(body, kind):
        digest = hashlib.sha256(body).hexdigest()
        blobs["blobs/sha256/" + digest] = body
        return {"mediaType": "application/vnd.oci.image." + kind, "size": len(body), "digest": "sha256:" + digest}

    descriptors = [blob(layer, "layer.v1.tar") for layer in layers]
    config = {"os": "linux", "architecture": "amd64", "config": {"Labels": {LABEL: json.dumps(label)} if label else {}},
              "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in descriptors]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": descriptors}
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
    files = {"oci-layout": '{"imageLayoutVersion": "1.0.0"}', "index.json": json.dumps(index), **blobs}
    with tarfile.open(f"/home/{file}", mode) as archive:
        for name, body in files.items():
            body = body if isinstance(body, bytes) else body.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))


def about(name="a", **more):
    return {"id": f"golden/{name}", "version": "1.0.0", **more}


x, y = '[[stacks]]\nid = "x"\n', '[[stacks]]\nid = "y"\n'
a, b = buildpack("a", x), buildpack("b", x + 'mixins = ["git"]\n')
package("good.cnb", [a, b], about(stacks=[{"id": "x", "mixins": ["git"]}]))
both = [f'{{ id = "golden/{name}", version = "1.0.0" }}' for name in "ab"]
package("composite.cnb", [buildpack("all", "", order=both), a, b], about("all", stacks=[{"id": "x", "mixins": ["git"]}]))
package("no-stack.cnb", [a], about())
package("compressed.cnb", [a], about(), "w:gz")
package("no-label.cnb", [a], None)
package("other-label.cnb", [a], about("b"))
package("place.cnb", [buildpack("a", x, "cnb/buildpacks/golden_b/1.0.0")], about())
package("system.cnb", [a, tar({"etc/motd": "hello"})], about(stacks=[{"id": "x"}]))
package("stack.cnb", [a, buildpack("c", y)], about(stacks=[{"id": "x"}]))
package("twice.cnb", [a], about(stacks=[{"id": "x"}, {"id": "x"}]))
package("mixins.cnb", [a, b], about(stacks=[{"id": "x"}]))
