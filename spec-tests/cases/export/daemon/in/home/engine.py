"""An engine with one image, that of the registry called `run`: as much of Docker's API as lifecycles use.

It listens on /home/docker.sock and writes the name and ID of each image that is loaded to /home/loaded.
"""
import calendar, gzip, hashlib, io, json, re, socketserver, tarfile, time, urllib.parse
from http.server import BaseHTTPRequestHandler
from pathlib import Path

names, configs = {}, {}


def add(config, refs):
    ident = "sha256:" + hashlib.sha256(config).hexdigest()
    configs[ident] = json.loads(config)
    for ref in refs:
        names[tagged(ref)] = ident
    return ident


def tagged(ref):
    return ref if ":" in ref.rpartition("/")[2] else ref + ":latest"


def find(ref):
    ident = ref if ref.startswith("sha256:") else "sha256:" + ref
    return ident if ident in configs else names.get(tagged(ref))


def inspect(ident):
    config = configs[ident]
    return {"Id": ident, "RepoTags": [n for n, i in names.items() if i == ident], "Created": config.get("created"),
            "Os": config["os"], "Architecture": config["architecture"], "Config": config.get("config", {}),
            "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"]}}


def history(ident):
    def item(h):
        created = calendar.timegm(time.strptime(h.get("created", "1980-01-01T00:00:01Z")[:19], "%Y-%m-%dT%H:%M:%S"))
        return {"Id": "<missing>", "Created": created, "CreatedBy": h.get("created_by", ""), "Comment": h.get("comment", ""), "Size": 0, "Tags": None}
    return [item(h) for h in reversed(configs[ident].get("history", []))]


def load(body):
    archive = tarfile.open(fileobj=io.BytesIO(body))
    files = {member.name.lstrip("/"): archive.extractfile(member).read() for member in archive if member.isfile()}
    known = {d for config in configs.values() for d in config["rootfs"]["diff_ids"]}
    for image in json.loads(files["manifest.json"]):
        config = files[image["Config"]]
        for layer, diff_id in zip(image["Layers"], json.loads(config)["rootfs"]["diff_ids"], strict=True):
            content = files[layer.lstrip("/")]
            if not content and diff_id in known:
                continue
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
            if "sha256:" + hashlib.sha256(content).hexdigest() != diff_id:
                return {"errorDetail": {"message": f"bad layer {layer}"}, "error": f"bad layer {layer}"}
        ident = add(config, image["RepoTags"] or [])
        with open("/home/loaded", "a") as loaded:
            print(*(image["RepoTags"] or ["-"]), ident, file=loaded)
        return {"stream": f"Loaded image: {image['RepoTags'][0]}\n" if image["RepoTags"] else f"Loaded image ID: {ident}\n"}


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "client"

    def answer(self, status, value):
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Api-Version": "1.41", "Ostype": "linux", "Content-Type": "application/json", "Content-Length": len(body)}.items():
            self.send_header(name, str(text))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        path = re.sub(r"^/v1\.\d+", "", urllib.parse.unquote(url.path))
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.body()
        if path == "/_ping":
            return self.answer(200, "OK")
        if path == "/info":
            return self.answer(200, {"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]], "OSType": "linux"})
        if path == "/version":
            return self.answer(200, {"Version": "20.10.24", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64"})
        if path == "/images/load":
            return self.answer(200, load(body))
        of_image = re.fullmatch(r"/images/(.+)/(json|history|tag)", path)
        ident = of_image and find(of_image[1])
        if not ident:
            return self.answer(404, {"message": f"No such image: {path}"})
        if of_image[2] == "tag":
            names[f"{query['repo']}:{query.get('tag', 'latest')}"] = ident
            return self.answer(201, "")
        return self.answer(200, (inspect if of_image[2] == "json" else history)(ident))

    do_GET = do_HEAD = do_POST = handle_request


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def blob(descriptor):
    return Path("/golden/base/run-image/blobs/sha256", descriptor["digest"].partition(":")[2]).read_bytes()


index = json.loads(Path("/golden/base/run-image/index.json").read_text())
add(blob(json.loads(blob(index["manifests"][0]))["config"]), ["127.0.0.1:5000/run"])
Server("/home/docker.sock", Engine).serve_forever()
