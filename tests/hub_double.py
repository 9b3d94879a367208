"""A double of the Hub's HTTP API for model repositories, which the unmodified client publishes to and loads from.

It keeps everything in memory and speaks what huggingface_hub does for create_repo, create_branch, create_commit with
LFS, model_info, hf_hub_download, snapshot_download and `from_pretrained`. Accounts and their tokens can be given less
than all rights, and connections be dropped.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import yaml

LFS_SUFFIXES = (".safetensors", ".onnx", ".png", ".onnx_data")


@dataclass
class Commit:
    oid: str
    message: str
    files: dict[str, bytes]
    lfs: set[str] = field(default_factory=set)

    def etag(self, path: str) -> str:
        """As the Hub has it: sha256 of what is in LFS, git's own hash of everything else."""
        data = self.files[path]
        if path in self.lfs:
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    id: str
    private: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)

    def commit(self, revision: str, message: str, files: dict[str, bytes], lfs: set[str]) -> Commit:
        oid = hashlib.sha1(f"{self.id} {len(self.commits)}".encode()).hexdigest()
        self.commits.append(Commit(oid, message, files, lfs))
        self.refs[revision] = oid
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        oid = self.refs.get(revision, revision)
        return next((commit for commit in self.commits if commit.oid == oid), None)


@dataclass
class Account:
    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()
    may_write: bool = True  # what the server grants, whatever the token's role says


class Hub:
    """`with Hub() as hub:`, then `hub.environment` for processes that are to use it.

    Attributes:
        accounts: by token.
        repos: by `owner/name`.
        blobs: what is in LFS, by sha256.
        log: method, path and status of every request.
        drop: called with method and path of a request; where it is true the connection is closed without an answer.
        before_commit: called before a commit is looked at.
        yaml_errors: what is said of every front matter.
    """

    def __init__(self) -> None:
        self.token = "hf_" + "t" * 34
        self.accounts = {self.token: Account("tester", orgs=("lab",))}
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.log: list[tuple[str, str, int]] = []
        self.drop: Callable[[str, str], bool] = lambda method, path: False
        self.before_commit: Callable[[Repo], object] = lambda repo: None
        self.yaml_errors: list[str] = []
        self.lock = threading.RLock()
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": self.token, "HF_HUB_DISABLE_XET": "1"}

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        commit = self.repos[repo_id].at(revision)
        assert commit is not None
        return {name: data for name, data in commit.files.items() if name != ".gitattributes"}

    def sent(self, method: str) -> list[str]:
        return [path for done, path, _ in self.log if done == method]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int = 200, body: Any = b"", headers: dict[str, str] | None = None) -> None:
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
        self.hub.log.append((self.command, urlsplit(self.path).path, status))
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str, message: str, **headers: str) -> None:
        self.reply(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message, **headers})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def account(self) -> Account | None:
        return self.hub.accounts.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def dispatch(self) -> None:
        data, path = self.body(), urlsplit(self.path).path
        with self.hub.lock:
            if self.hub.drop(self.command, path):
                self.hub.log.append((self.command, path, 0))
                self.close_connection = True
                return
            for methods, pattern, needs_token, answer in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in methods:
                    if needs_token and self.account() is None:
                        return self.fail(401, "Unauthorized", "Invalid username or password.")
                    return answer(self, data, **{key: unquote(value) for key, value in match.groupdict().items()})
        self.fail(404, "NotImplemented", f"no route for {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = dispatch  # noqa: N815

    def may_write(self, repo_id: str) -> bool:
        account = self.account()
        owners = (account.name, *account.orgs) if account else ()
        if account is not None and account.may_write and repo_id.split("/")[0] in owners:
            return True
        self.fail(403, "Forbidden", "You don't have the rights to create or change a model under this namespace")
        return False

    def find(self, repo: str, revision: str = "main") -> tuple[Repo, Commit] | None:
        found, account = self.hub.repos.get(repo), self.account()
        owners = (account.name, *account.orgs) if account else ()
        if found is None or (found.private and repo.split("/")[0] not in owners):
            return self.fail(404, "RepoNotFound", "Repository not found")
        commit = found.at(revision)
        if commit is None:
            return self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found, commit

    def whoami(self, _: bytes) -> None:
        account = self.account()
        assert account is not None
        access = {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}}
        orgs = [{"name": name, "type": "org"} for name in account.orgs]
        self.reply(body={"type": "user", "name": account.name, "fullname": "", "orgs": orgs, "auth": access})

    def create(self, data: bytes) -> None:
        asked, account = json.loads(data), self.account()
        assert account is not None
        repo_id = f"{asked.get('organization') or account.name}/{asked['name']}"
        if not self.may_write(repo_id):
            return
        said = {"url": f"{self.hub.url}/{repo_id}", "name": repo_id, "id": repo_id}
        if repo_id in self.hub.repos:
            return self.reply(409, {**said, "error": "You already created this model repo"})
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repo = self.hub.repos[repo_id] = Repo(repo_id, private)
        repo.commit("main", "initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"}, set())
        self.reply(body=said)

    def validate_yaml(self, data: bytes) -> None:
        match = re.match(r"\s*---\s*\n(.*?)\n---\s*(\n|$)", json.loads(data)["content"], re.DOTALL)
        errors = [{"message": message} for message in self.hub.yaml_errors]
        try:
            for entry in (yaml.safe_load(match[1]) if match else {}).get("model-index") or []:
                for result in entry["results"]:
                    if not {"type", "name"} <= result["dataset"].keys() or not result["metrics"]:
                        errors.append({"message": '"model-index" needs dataset type, name and metrics'})
        except (yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
            errors.append({"message": str(error)})
        self.reply(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, data: bytes, repo: str, rev: str) -> None:
        if (found := self.find(repo, rev)) and self.may_write(repo):
            commit, answers = found[1], []
            for name in (asked["path"] for asked in json.loads(data)["files"]):
                mode = "lfs" if name.endswith(LFS_SUFFIXES) else "regular"
                oid = commit.etag(name) if name in commit.files else None
                answers.append({"path": name, "shouldIgnore": False, "uploadMode": mode, "oid": oid})
            self.reply(body={"files": answers})

    def lfs_batch(self, data: bytes, repo: str) -> None:
        if self.may_write(repo):
            objects = [{"oid": one["oid"], "size": one["size"]} for one in json.loads(data)["objects"]]
            for one in objects:
                if one["oid"] not in self.hub.blobs:
                    one["actions"] = {"upload": {"href": f"{self.hub.url}/_lfs/{one['oid']}", "header": {}}}
            kind = {"Content-Type": "application/vnd.git-lfs+json"}
            self.reply(body={"transfer": "basic", "objects": objects}, headers=kind)

    def lfs_put(self, data: bytes, oid: str) -> None:
        if hashlib.sha256(data).hexdigest() != oid:
            return self.fail(400, "BadDigest", "sha256 mismatch")
        self.hub.blobs[oid] = data
        self.reply()

    def commit(self, data: bytes, repo: str, rev: str) -> None:
        if repo in self.hub.repos:
            self.hub.before_commit(self.hub.repos[repo])
        if not (found := self.find(repo, rev)) or not self.may_write(repo):
            return
        files, lfs, message = dict(found[1].files), set(found[1].lfs), ""
        for item in map(json.loads, data.splitlines()):
            kind, value = item["key"], item["value"]
            if kind == "header":
                message = value["summary"]
                if value.get("parentCommit", found[1].oid) != found[1].oid:
                    return self.fail(412, "PreconditionFailed", "A commit has happened since. Please try again.")
            elif kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
                lfs.discard(value["path"])
            elif kind == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return self.fail(400, "BadRequest", f"LFS pointer {value['oid']} was never uploaded")
                files[value["path"]] = self.hub.blobs[value["oid"]]
                lfs.add(value["path"])
            else:
                assert kind == "deletedFile", kind
                del files[value["path"]]
        new = found[0].commit(rev, message, files, lfs)
        url = f"{self.hub.url}/{repo}/commit/{new.oid}"
        self.reply(body={"success": True, "commitOid": new.oid, "commitUrl": url, "hookOutput": ""})

    def branch(self, data: bytes, repo: str, rev: str) -> None:
        if (found := self.find(repo)) and self.may_write(repo):
            if rev in found[0].refs:
                return self.fail(409, "Conflict", "Reference already exists")
            found[0].refs[rev] = found[1].oid
            self.reply(body={})

    def info(self, _: bytes, repo: str, rev: str = "main") -> None:
        if found := self.find(repo, rev):
            match = re.match(r"---\n(.*?)\n---", found[1].files.get("README.md", b"").decode(), re.DOTALL)
            card = yaml.safe_load(match[1]) if match else {}
            said = {"library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag")}
            siblings = [{"rfilename": name} for name in sorted(found[1].files)]
            about = {"id": repo, "modelId": repo, "sha": found[1].oid, "private": found[0].private, "cardData": card}
            self.reply(body={**about, **said, "tags": card.get("tags", []), "siblings": siblings})

    def tree(self, _: bytes, repo: str, rev: str, path: str = "") -> None:
        if found := self.find(repo, rev):
            prefix, entries = (f"{path}/" if path else ""), []
            for name in sorted(found[1].files):
                if name.startswith(prefix):
                    size, oid = len(found[1].files[name]), found[1].etag(name)
                    lfs = {"lfs": {"oid": oid, "size": size, "pointerSize": 134}} if name in found[1].lfs else {}
                    entries.append({"type": "file", "path": name, "size": size, "oid": oid, **lfs})
            if path and not entries:
                return self.fail(404, "EntryNotFound", f"{path} does not exist")
            self.reply(body=entries)

    def resolve(self, _: bytes, repo: str, rev: str, path: str) -> None:
        if found := self.find(repo, rev):
            commit = found[1]
            if path not in commit.files:
                return self.fail(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit.oid})
            headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{commit.etag(path)}"'}
            self.reply(body=commit.files[path], headers={**headers, "Content-Type": "application/octet-stream"})


REPO = r"(?P<repo>[^/]+/[^/]+)"
API = rf"/api/models/{REPO}"
ROUTES: list[tuple[tuple[str, ...], str, bool, Callable[..., None]]] = [
    (("GET",), r"/api/whoami-v2", True, Handler.whoami),
    (("POST",), r"/api/repos/create", True, Handler.create),
    (("POST",), r"/api/validate-yaml", False, Handler.validate_yaml),
    (("POST",), rf"{API}/preupload/(?P<rev>.+)", True, Handler.preupload),
    (("POST",), rf"/{REPO}\.git/info/lfs/objects/batch", True, Handler.lfs_batch),
    (("PUT",), r"/_lfs/(?P<oid>[0-9a-f]{64})", False, Handler.lfs_put),
    (("POST",), rf"{API}/commit/(?P<rev>.+)", True, Handler.commit),
    (("POST",), rf"{API}/branch/(?P<rev>.+)", True, Handler.branch),
    (("GET",), rf"{API}/revision/(?P<rev>[^/]+)", False, Handler.info),
    (("GET",), rf"{API}/tree/(?P<rev>[^/]+)", False, Handler.tree),
    (("GET",), rf"{API}/tree/(?P<rev>[^/]+)/(?P<path>.+)", False, Handler.tree),
    (("GET",), API, False, Handler.info),
    (("GET", "HEAD"), rf"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", False, Handler.resolve),
]
