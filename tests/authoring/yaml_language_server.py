"""Try the schema in the real yaml-language-server: completion, hover and validation, as an editor asks for them. Run by hand.

It needs Node and the npm package, which is not part of the project; install it somewhere else:

    npm install --prefix FOLDER yaml-language-server
    python tests/authoring/yaml_language_server.py FOLDER/node_modules/.bin/yaml-language-server

The script writes the schema and a spec with a modeline into a temporary folder, speaks the Language Server Protocol with the
server over its stdin and stdout, prints what an author would see, and ends with 1 where something that it asks for is missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.schema import schema_text

HEAD = """# yaml-language-server: $schema=audit.schema.json
apiVersion: pgx/v1
kind: Audit
metadata: {name: tried}
model:
  keras: models/digits.keras
data:
  modality: image
  train: {path: data/digits-train.npz, target: y}
"""


class Server:
    """The server as a child process."""

    def __init__(self, command: str, folder: Path) -> None:
        self.process = subprocess.Popen([command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.folder, self.number, self.documents = folder, 0, 0
        self.published: dict[str, list[dict[str, Any]]] = {}
        root = {"rootUri": folder.as_uri(), "workspaceFolders": [{"uri": folder.as_uri(), "name": "tried"}]}
        hover = {"contentFormat": ["markdown", "plaintext"]}
        item = {"snippetSupport": True, "documentationFormat": ["markdown", "plaintext"]}
        told = {
            "textDocument": {"hover": hover, "completion": {"completionItem": item}},
            "workspace": {"configuration": True},
        }
        self.ask("initialize", {"processId": None, "capabilities": told, **root})
        self.tell("initialized", {})

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def tell(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        if not length:
            raise SystemExit("the server has ended")
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if "method" in message and "id" in message:
            self.send({"id": message["id"], "result": self.settings(message)})
        if message.get("method") == "textDocument/publishDiagnostics":
            self.published[message["params"]["uri"]] = message["params"]["diagnostics"]
        return message

    @staticmethod
    def settings(message: dict[str, Any]) -> Any:
        """What an editor answers when it is asked for the settings: validate, hover, complete; no store of schemas."""
        yaml = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}
        known = {"yaml": yaml}
        if message["method"] == "workspace/configuration":
            return [known.get(item.get("section")) for item in message["params"]["items"]]
        return None

    def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.receive()
            if message.get("id") == self.number and "method" not in message:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']}")
                return message["result"]

    def open(self, text: str) -> str:
        self.documents += 1
        uri = (self.folder / f"spec{self.documents}.yaml").as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})
        return uri

    def at(self, text: str, what: str) -> tuple[str, Any]:
        """Ask something at the place of the ``|`` in a text."""
        before, _, after = text.partition("|")
        uri = self.open(before + after)
        place = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        return uri, self.ask(f"textDocument/{what}", {"textDocument": {"uri": uri}, "position": place})

    def completion(self, text: str) -> dict[str, str]:
        """Label to documentation."""
        _, found = self.at(text, "completion")
        items = found["items"] if isinstance(found, dict) else found or []
        return {item["label"]: words(item.get("documentation")) for item in items}

    def hover(self, text: str) -> str:
        _, found = self.at(text, "hover")
        return words(found["contents"]) if found else ""

    def diagnostics(self, text: str) -> list[str]:
        uri = self.open(text)
        while uri not in self.published:
            self.receive()
        return [item["message"] for item in self.published[uri]]


def words(content: Any) -> str:
    return content["value"] if isinstance(content, dict) else str(content or "")


def trials(server: Server) -> Iterator[tuple[str, bool, object]]:
    """Each: what was tried, whether the author was told what is needed, and what was said."""
    for stage in ("perturbation", "gradient"):
        names = [d.name for d in catalogue().values() if d.stage == stage]
        found = server.completion(HEAD + f"explain:\n  {stage}:\n    - use: |\n")
        good = all(name in found and found[name] for name in names) and not {"deletion"} & set(found)
        yield f"completion after `use:` under {stage}: its methods, each with its summary, and no others", good, found
    for stage in ("precaution", "agreement", "faithfulness"):
        names = [d.name for d in catalogue().values() if d.stage == stage]
        found = server.completion(HEAD + f"{stage}:\n  - use: |\n")
        yield f"completion after `use:` under {stage}", all(name in found for name in names), found
    for stage, name in (("gradient", "integrated_gradients"), ("perturbation", "kernel_shap")):
        fields = catalogue()[name].params.model_fields
        text = HEAD + f"explain:\n  {stage}:\n    - use: {name}\n      with:\n        |\n"
        found = server.completion(text)
        yield f"completion inside `with:` of {name}: its parameters alone", set(found) == set(fields), found
    text = HEAD + "precaution:\n  - use: drift\n    with:\n      statistic: |\n"
    found = server.completion(text)
    yield "completion of a parameter's values", {"psi", "ks", "wasserstein"} <= set(found), found
    text = HEAD + "explain:\n  gradient:\n    - use: integrated_gradients\n      with:\n        st|eps: 64\n"
    said = server.hover(text)
    yield "hover on a parameter: meaning, default and range", all(w in said for w in ("quadrature", "64", "4096")), said
    said = server.hover(HEAD + "explain:\n  gradient:\n    - use: integrated_gr|adients\n")
    yield "hover on a method: its summary", "straight path" in said, said
    said = server.hover(HEAD + "explain:\n  sc|ore: logit\n")
    yield "hover on a key of the language", "quantity" in said, said
    found = server.completion(HEAD + "explain:\n  |\n")
    yield "completion of the keys of `explain`", {"rows", "perturbation", "gradient", "score"} <= set(found), found
    found = server.completion(HEAD + "explain:\n  score: |\n")
    yield "completion of the scores", {"logit", "probability"} <= set(found), found
    text = HEAD + "explain:\n  gradient:\n    - use: integrated_gradients\n      with: {stepz: 3}\n"
    said = server.diagnostics(text)
    yield "a misspelt parameter is marked", any("stepz" in message for message in said), said
    said = server.diagnostics(HEAD + "explain:\n  gradient:\n    - use: integrated_gradient\n")
    yield "a misspelt method is marked", len(said) > 0, said
    said = server.diagnostics(HEAD + "explain:\n  gradient:\n    - use: integrated_gradients\n      with: {steps: 0}\n")
    yield "a parameter out of its range is marked", any("1" in message for message in said), said
    text = (
        HEAD
        + 'vars: {n: 8}\nexplain:\n  gradient:\n    - use: integrated_gradients\n      with: {steps: "${vars.n}"}\n'
    )
    said = [message for message in server.diagnostics(text) if "vars is not allowed" not in message]
    yield "the value of a variable is a value", said == [], said
    said = server.diagnostics(HEAD.replace("model:", "modle:"))
    yield "a misspelt key is marked", any("modle" in message for message in said), said
    for spec in sorted((Path(__file__).parents[2] / "specs").glob("*.yaml")):
        said = server.diagnostics(spec.read_text("utf-8"))
        yield f"nothing is said of specs/{spec.name}", said == [], said


def main() -> int:
    """Run the trials and print them; 1 where one fails."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("server", help="path of the program yaml-language-server")
    options.add_argument(
        "-v", "--verbose", action="store_true", help="print what the server said, also where it is right"
    )
    chosen = options.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "audit.schema.json").write_text(schema_text("audit"), "utf-8")
        server = Server(chosen.server, Path(folder).resolve())
        try:
            for what, good, said in trials(server):
                failed += not good
                print(f"{'ok    ' if good else 'FAILED'} {what}")
                if chosen.verbose or not good:
                    print(f"       {json.dumps(said, ensure_ascii=False)}")
        finally:
            server.process.kill()
            server.process.wait()
    print(f"{failed} failed" if failed else "all that an author needs is there")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
