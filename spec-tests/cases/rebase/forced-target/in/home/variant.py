# Changes the run image's target: architecture, variant, version and distribution.
import hashlib, json, sys
root = "/tmp/base/"; put = lambda b: (open(f"{root}blobs/sha256/{hashlib.sha256(b).hexdigest()}", "wb").write(b), {"digest": "sha256:" + hashlib.sha256(b).hexdigest(), "size": len(b)})[1]
index = json.load(open(root + "index.json")); entry = index["manifests"][0]
manifest = json.load(open(f"{root}blobs/sha256/{entry['digest'][7:]}")); config = json.load(open(f"{root}blobs/sha256/{manifest['config']['digest'][7:]}"))
config["architecture"], config["variant"], config["os.version"] = "arm64", "v8", "7.1"
config["config"]["Labels"].update({"io.buildpacks.base.distro.name": "golden", "io.buildpacks.base.distro.version": "99"})
manifest["config"].update(put(json.dumps(config).encode())); entry.update(put(json.dumps(manifest).encode()))
json.dump(index, open(root + "index.json", "w"))
