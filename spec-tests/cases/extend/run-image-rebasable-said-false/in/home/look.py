# Prints what an extender left for the run image: the base it stands on, config, and the named files of its new layers.
import glob, gzip, io, json, sys, tarfile
root, = glob.glob("/layers/extended/run/*")
blob = lambda d: open(f"{root}/blobs/sha256/{d[7:]}", "rb").read()
entry, = json.load(open(root + "/index.json"))["manifests"]
manifest = json.loads(blob(entry["digest"])); config = json.loads(blob(manifest["config"]["digest"]))
base = "/golden/base/run-image/"; old = json.loads(open(base + "blobs/sha256/" + json.load(open(base + "index.json"))["manifests"][0]["digest"][7:]).read())
print("stands on the base:", manifest["layers"][:2] == old["layers"], len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]))
print("user:", config["config"].get("User")); print("rebasable:", config["config"]["Labels"].get("io.buildpacks.rebasable"))
print("env:", *[e for e in config["config"]["Env"] if not e.startswith("PATH")])
files = {}
for layer in manifest["layers"][2:]:
    raw = blob(layer["digest"])
    for m in tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)) if raw.strip(b"\0") else []:
        if m.isreg(): files["/" + m.name.lstrip("/")] = tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)).extractfile(m).read().decode().strip()
for name in sys.argv[1:]: print(name + ":", files.get(name, "absent"))
