#!/usr/bin/env python3
"""Run the recorded cases against a lifecycle binary and compare with what is recorded.

    run.py --lifecycle DIR [--launcher FILE] [--record] [-v] [-j N] [CASE ...]

DIR holds `lifecycle` (or one binary or link per phase). Each case runs in a fresh
sandbox (bubblewrap) with its own network namespace, its own docker-registry on
127.0.0.1:5000 and the fixed paths that make layers comparable: /workspace, /layers,
/platform, /cnb, /cache, /layout. Nothing of the host can be changed by a case.

Needs: bwrap, docker-registry, skopeo, util-linux >= 2.38, python3 >= 3.11; as an ordinary
user also newuidmap and a range in /etc/subuid and /etc/subgid. See README.md for the format.
"""
import argparse, concurrent.futures, difflib, hashlib, io, json, os, re, shutil
import subprocess, sys, tarfile, tempfile, time, tomllib, urllib.error, urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
PHASES = ["analyzer", "detector", "restorer", "builder", "exporter", "extender", "rebaser", "creator"]
ROOM = ["workspace", "layers", "platform", "cnb", "cache", "layout", "home"]   # writable dirs, fixed paths
REGISTRY = "127.0.0.1:5000"
AS_ROOT = [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]


# ---------------------------------------------------------------- outside: one sandbox per case
def sandbox(case: Path, args, out: Path) -> str:
    room = Path(tempfile.mkdtemp(prefix="spec-test-"))
    try:
        for d in ROOM + ["tmp"]:
            (room / d).mkdir()
        (room / "tmp").chmod(0o1777)
        cmd = list(AS_ROOT)                                # cases chown, so need real uids
        cmd += ["bwrap", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--clearenv", "--cap-add", "ALL", "--proc", "/proc", "--dev", "/dev", "--bind", room / "tmp", "/tmp"]
        for top in sorted(os.listdir("/")):
            p = Path("/") / top
            if top in ROOM + ["proc", "dev", "sys", "tmp"]:
                continue
            cmd += (["--symlink", os.readlink(p), p] if p.is_symlink() else ["--ro-bind", p, p])
        for d in ROOM:
            cmd += ["--bind", room / d, f"/{d}"]
        for src, dst in ((HERE / "base/passwd", "/etc/passwd"), (HERE / "base/group", "/etc/group"), (HERE, "/golden"), (case, "/case"), (Path(args.lifecycle).resolve(), "/lifecycle")):
            cmd += ["--ro-bind", src, dst]
        if args.launcher:
            cmd += ["--ro-bind", Path(args.launcher).resolve(), "/real-launcher"]
        cmd += ["--bind", out, "/out", "--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                os.path.realpath(sys.executable), "/golden/run.py", "--inside"]
        done = subprocess.run([str(c) for c in cmd], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        return "" if done.returncode == 0 else (done.stdout.strip().splitlines() or ["the sandbox did not start"])[-1]
    finally:
        subprocess.run([*AS_ROOT, "rm", "-rf", "--one-file-system", str(room)])


# ---------------------------------------------------------------- inside: steps, then a dump
def inside() -> int:
    case = tomllib.loads(Path("/case/case.toml").read_text())
    os.umask(0o022)
    Path("/tmp/reg.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: /tmp/registry}}, delete: {{enabled: true}}}}\nhttp: {{addr: {REGISTRY}}}\n")
    registry = subprocess.Popen(["docker-registry", "serve", "/tmp/reg.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        import socket
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", 5000), 1).close(); break
            except OSError:
                time.sleep(0.02)
        else:
            print("docker-registry did not start"); return 1
        for d, mode in (("bin", 0), ("lifecycle", 0), ("process", 0)):
            Path("/cnb", d).mkdir(parents=True, exist_ok=True)
        for name in os.listdir("/lifecycle"):
            if name != "launcher":
                Path("/cnb/lifecycle", name).symlink_to(f"/lifecycle/{name}")
        for phase in PHASES:
            link = Path("/cnb/lifecycle", phase)
            if not link.is_symlink():
                link.symlink_to("/lifecycle/lifecycle")
        fixed = Path("/cnb/lifecycle/launcher")     # image bytes must not depend on who built the launcher
        fixed.write_bytes(b"#!/bin/sh\n# golden stand-in for the launcher\n"); fixed.chmod(0o755)
        for ref, layout in {"run": "run-image", **case.get("push", {})}.items():
            src = Path("/case", layout) if Path("/case", layout).exists() else Path("/golden/base", layout)
            subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{src}", f"docker://{REGISTRY}/{ref}"],
                           check=True, env={"HOME": "/tmp", "PATH": os.environ["PATH"]})
        for d in ROOM:
            src = Path("/case/in", d)
            if src.is_dir():
                shutil.copytree(src, f"/{d}", symlinks=True, dirs_exist_ok=True)
                os.chmod(f"/{d}", 0o755)               # a read-only checkout must not make it so, too
        for d in ROOM:
            for root, dirs, files in os.walk(f"/{d}"):
                for n in dirs:
                    if not os.path.islink(p := os.path.join(root, n)): os.chmod(p, 0o755)
                for n in files:
                    if not os.path.islink(p := os.path.join(root, n)):
                        os.chmod(p, 0o755 if os.stat(p).st_mode & 0o100 else 0o644)
        if "setup" in case:
            subprocess.run(["/bin/bash", "-euc", case["setup"]], check=True, cwd="/workspace")
        results = []
        for n, step in enumerate(case["step"], 1):
            env = {"PATH": "/cnb/lifecycle:" + os.environ["PATH"], "HOME": "/home", **case.get("env", {}), **step.get("env", {})}
            env = {k: str(v) for k, v in env.items()}
            argv = list(step["run"]) if "run" in step else ["/bin/bash", "-euc", step["sh"]]
            if argv[0] == "launcher":
                argv[0] = "/real-launcher"
            elif argv[0] in PHASES:
                argv[0] = f"/cnb/lifecycle/{argv[0]}"
            exe = argv[0]
            if "argv0" in step:                        # e.g. /cnb/process/web -> launcher
                link = Path(step["argv0"]); link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink(): link.symlink_to(exe)
                argv[0] = exe = str(link)
            try:
                p = subprocess.run(argv, executable=exe, env=env, cwd=step.get("cwd", "/workspace"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
            except (OSError, subprocess.TimeoutExpired) as e:
                print(f"step {n}: {e}"); return 1
            results.append({"exit": p.returncode})
            Path(f"/out/step-{n}.stdout").write_bytes(p.stdout); Path(f"/out/step-{n}.stderr").write_bytes(p.stderr)
        Path("/out/steps.json").write_text(json.dumps(results) + "\n")
        for pattern in case.get("keep", []):
            for f in sorted(Path("/").glob(pattern.lstrip("/"))):
                if f.is_file():
                    dest = Path("/out/files", *f.parts[1:]); dest.parent.mkdir(parents=True, exist_ok=True); shutil.copyfile(f, dest)
        for ref in case.get("image", []):
            dump_image(ref)
        return 0
    finally:
        registry.terminate(); registry.wait()


def dump_image(ref: str):
    dest = Path("/out/images", ref.replace("/", "_").replace(":", "_"))
    repo, _, tag = ref.partition("@") if "@" in ref else ref.partition(":")
    def fetch(what):                  # not with skopeo: it refuses the Docker manifests with OCI layers that a rebase writes
        accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        return urllib.request.urlopen(urllib.request.Request(f"http://{REGISTRY}/v2/{repo}/{what}", headers={"Accept": accept})).read()
    dest.mkdir(parents=True, exist_ok=True)
    try:
        manifest = json.loads(fetch(f"manifests/{tag or 'latest'}"))
    except urllib.error.HTTPError as e:
        if e.code != 404: raise
        (dest / "absent").write_text("no such image\n"); return
    config = fetch("blobs/" + manifest["config"]["digest"])
    (dest / "config.json").write_bytes(mask_config(config))
    rows, diff_ids = [], json.loads(config)["rootfs"]["diff_ids"]
    for layer, diff_id in zip(manifest["layers"], diff_ids):
        raw = fetch("blobs/" + layer["digest"])
        if raw[:2] == b"\x1f\x8b":
            import gzip; raw = gzip.decompress(raw)
        elif raw[:4] == b"\x28\xb5\x2f\xfd":
            raw = subprocess.run(["zstd", "-dcq"], input=raw, stdout=subprocess.PIPE, check=True).stdout
        actual = "sha256:" + hashlib.sha256(raw).hexdigest()
        rows.append(f"layer {diff_id}" + ("" if actual == diff_id else f"  BUT CONTENT IS {actual}"))
        for m in tarfile.open(fileobj=io.BytesIO(raw)):
            kind = {b"0": "-", b"5": "d", b"2": "l", b"1": "h", b"3": "c", b"4": "b", b"6": "p"}.get(m.type, "?")
            extra = "".join(f" {k}={v!r}" for k, v in sorted(m.pax_headers.items()) if k not in ("path", "linkpath", "mtime", "size"))
            sha = " " + hashlib.sha256(raw[m.offset_data:m.offset_data + m.size]).hexdigest()[:12] if m.isreg() else ""
            rows.append(f"  {kind}{m.mode:05o} {m.uid}:{m.gid} {m.uname}:{m.gname} {int(m.mtime)} {m.size} {m.name}" + (f" -> {m.linkname}" if m.linkname else "") + sha + extra)
    (dest / "layers.txt").write_text("\n".join(rows) + "\n", errors="surrogateescape")
    pretty = json.loads(mask_config(config)); labels = (pretty.get("config") or {}).get("Labels") or {}
    for k, v in labels.items():
        try: labels[k] = json.loads(v)
        except ValueError: pass
    (dest / "config.pretty.json").write_text(json.dumps(pretty, indent=2, ensure_ascii=False) + "\n")


def mask_config(raw: bytes) -> bytes:
    """The launcher's version and source are the builder's own; everything else must agree to the byte."""
    return re.sub(rb'\\"launcher\\":\{\\"version\\":\\"[^"]*\\",\\"source\\":\{\\"git\\":\{[^}]*\}\}\}', rb'\\"launcher\\":MASKED', raw)


# ---------------------------------------------------------------- compare
def differences(expect: Path, got: Path, case: dict):
    steps = json.loads((got / "steps.json").read_text())
    for n, (step, r) in enumerate(zip(case["step"], steps), 1):
        out = (got / f"step-{n}.stdout").read_text(errors="replace"); err = (got / f"step-{n}.stderr").read_text(errors="replace")
        if r["exit"] != step.get("exit", 0):
            tail = (out + err).strip().splitlines()[-3:]
            yield f"step {n}: exit {r['exit']}, expected {step.get('exit', 0)}: {' | '.join(tail)}"
        if "stdout" in step and out != step["stdout"]:
            yield f"step {n}: stdout {out!r}, expected {step['stdout']!r}"
        for want in step.get("says", []):
            if not re.search(want, out + err):
                yield f"step {n}: nothing printed matches {want!r}"
        for never in step.get("never_says", []):
            if re.search(never, out + err):
                yield f"step {n}: printed {never!r}"
    for kind in ("files", "images"):
        a, b = ({str(p.relative_to(d)): p for p in sorted((d / kind).rglob("*")) if p.is_file()} for d in (expect, got))
        for name in sorted(a.keys() | b.keys()):
            if name.endswith("config.pretty.json"):
                continue
            if name not in b: yield f"{name}: missing"; continue
            if name not in a: yield f"{name}: not expected"; continue
            x, y = a[name].read_bytes(), b[name].read_bytes()
            if x == y: continue
            if name.endswith(".toml") and name not in case.get("bytes", []):
                try:
                    if norm(tomllib.loads(x.decode())) == norm(tomllib.loads(y.decode())): continue
                    x, y = (json.dumps(norm(tomllib.loads(b.decode())), indent=1, default=str).encode() for b in (x, y))
                except ValueError as e: yield f"{name}: {e}"
            if name.endswith("config.json"):
                x, y = ((d / name.replace("config.json", "config.pretty.json")).read_bytes() for d in (expect, got))
                yield f"{name}: bytes differ" + ("" if x != y else " (same JSON, other bytes)")
            diff = difflib.unified_diff(x.decode(errors="replace").splitlines(), y.decode(errors="replace").splitlines(), "expected", "got", lineterm="", n=1)
            yield f"{name}:\n      " + "\n      ".join(list(diff)[:40])


KNOWN = {json.loads((i).read_text())["manifests"][0]["digest"] for i in HERE.glob("base/*/index.json")} if (HERE / "base").exists() else set()


def norm(v, key=""):
    """TOML values without what may rightly differ: compressed bytes (so manifest digests and sizes) and 3 for 3.0."""
    if isinstance(v, dict): return {k: norm(x, k) for k, x in v.items()}
    if isinstance(v, list): return [norm(x, key) for x in v]
    if isinstance(v, int) and not isinstance(v, bool): return "SIZE" if key == "manifest-size" else float(v)
    if isinstance(v, str):
        if key == "digest" and v.startswith("sha256:") and v not in KNOWN: return "sha256:MANIFEST"
        return re.sub(r"@(sha256:[0-9a-f]{64})", lambda m: m[0] if m[1] in KNOWN else "@sha256:MANIFEST", v)
    return v


def run_case(case_dir: Path, args):
    case = tomllib.loads((case_dir / "case.toml").read_text())
    if any(s.get("run", [""])[0] == "launcher" for s in case["step"]) and not args.launcher:
        return case_dir, None, ["needs --launcher"]
    with tempfile.TemporaryDirectory() as tmp:
        out = Path(tmp)
        if problem := sandbox(case_dir, args, out):
            return case_dir, False, [f"did not run: {problem}"]
        if args.record:
            shutil.rmtree(case_dir / "expect", ignore_errors=True)
            for kind in ("files", "images"):
                if (out / kind).exists(): shutil.copytree(out / kind, case_dir / "expect" / kind)
            for f in out.glob("step-*.std*"):                    # for people to read; not compared
                if f.stat().st_size:
                    (case_dir / "expect").mkdir(exist_ok=True); shutil.copyfile(f, case_dir / "expect" / f.name)
        diffs = list(differences(case_dir / "expect", out, case))
        return case_dir, not diffs, diffs


def main() -> int:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--lifecycle", required=True); ap.add_argument("--launcher"); ap.add_argument("--record", action="store_true")
    ap.add_argument("--cases", default=str(HERE / "cases")); ap.add_argument("-j", type=int, default=2); ap.add_argument("-v", action="store_true")
    ap.add_argument("only", nargs="*", help="`area/` or `area/case/` from the start, or any part of a case's path")
    args = ap.parse_args(); root = Path(args.cases).resolve()
    found = sorted(p.parent for p in root.rglob("case.toml"))
    chosen = [c for c in found if not args.only or any(
        (str(c.relative_to(root)) + "/").startswith(o) if o.endswith("/") else o in str(c.relative_to(root)) for o in args.only)]
    passed = failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for case_dir, ok, diffs in pool.map(lambda c: run_case(c, args), chosen):
            name = case_dir.relative_to(root)
            if ok: passed += 1
            elif ok is None: skipped += 1
            else: failed += 1
            if not ok or args.v:
                print(f"{'ok  ' if ok else 'skip' if ok is None else 'FAIL'} {name}")
                for d in diffs: print(f"    {d}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(inside() if sys.argv[1:] == ["--inside"] else main())
