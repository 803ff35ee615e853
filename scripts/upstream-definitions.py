"""Prints the upstream definitions of the third-party kinds that are used here, one JSON document a line.

usage: upstream-definitions.py MODULE.py… MODULE.rs…

The modules come from packages that are generated from the upstream definitions, one type for each object of a schema:
wheels with classes, crates with structs. They are read as text and never run or built: this needs Python's standard
library alone.
"""

import ast
import json
import re
import sys

PLAIN = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string"},
}
LIMITS = {
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
    "ge": "minimum",
    "le": "maximum",
}
# What manifests and controller use.
KINDS = ["PodMonitor", "PrometheusRule", "DestinationRule", "Gateway", "VirtualService"]
# An object whose fields nobody lists.
ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


class PythonModule:
    """The classes of one module."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            body = ast.parse(file.read()).body
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}

    def definitions(self):
        """The definitions of the kinds that the module has."""
        for name in KINDS:
            if name in self.classes:
                fields = {field.target.id: field.annotation for field in annotations(self.classes[name])}
                yield definition(name, word(fields["api_version"]), self.schema(fields["spec"]))

    def schema(self, node, limits=None):
        """The schema of a type annotation."""
        if isinstance(node, ast.Subscript):
            return self.generic(ast.unparse(node.value), node.slice, limits)
        name = ast.unparse(node)
        if name in PLAIN:
            return {**PLAIN[name], **(limits or {})}
        if name in self.classes:
            return self.object(self.classes[name])
        return ANYTHING

    def generic(self, name, inner, limits):
        """The schema of a type with parameters."""
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == "Annotated":
            found = {}
            for call in parts[1:]:
                for word in call.keywords:
                    if word.arg in LIMITS:
                        found[LIMITS[word.arg]] = ast.literal_eval(word.value)
            return self.schema(parts[0], found)
        if name == "Optional":
            return self.schema(parts[0], limits)
        if name == "List":
            return {"type": "array", "items": self.schema(parts[0])}
        if name == "Dict":
            return {"type": "object", "additionalProperties": self.schema(parts[1])}
        if name == "Literal":
            return {"type": "string", "enum": [ast.literal_eval(part) for part in parts]}
        if name == "Union":
            names = [ast.unparse(part) for part in parts]
            if sorted(names) == ["int", "str"]:
                return {"x-kubernetes-int-or-string": True}
            if all(name in self.classes for name in names):
                return alternatives([self.object(self.classes[name]) for name in names])
        return ANYTHING

    def object(self, node):
        """The schema of a class: an object, or a type of its own."""
        for base in node.bases:
            if isinstance(base, ast.Subscript) and ast.unparse(base.value) == "RootModel":
                return self.schema(base.slice)
        properties, required = {}, []
        for field in annotations(node):
            name = alias(field.annotation) or field.target.id
            properties[name] = self.schema(field.annotation)
            if field.value is None:
                required.append(name)
        schema = {"type": "object", "properties": properties} if properties else ANYTHING
        return {**schema, "required": required} if required else schema


class RustModule:
    """The structs and enums of one module, as kopium writes them."""

    PLAIN = {"String": "string", "i32": "integer", "i64": "integer", "bool": "boolean"}
    TYPE = re.compile(r"^pub (struct|enum) (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
    FIELD = re.compile(r"(?:#\[serde\(([^]]*)\)\]\s*)?pub (?:r#)?(\w+):\s*([\w<>,\s]+?),\s*(?=#\[|pub |\Z)")
    VARIANT = re.compile(r"(?:#\[serde\(([^]]*)\)\]\s*)?(\w+),")
    ROOT = re.compile(r"#\[kube\(\s*(group = .*?)\)\].*?^pub struct (\w+)", re.MULTILINE | re.DOTALL)

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = re.sub(r"^\s*//.*\n", "", file.read(), flags=re.MULTILINE)
        self.types = {name: (kind, body) for kind, name, body in self.TYPE.findall(self.text)}

    def definitions(self):
        """The definition of the kind that the module is about."""
        for arguments, spec in self.ROOT.findall(self.text):
            found = dict(re.findall(r'(\w+) = "([^"]*)"', arguments))
            yield definition(found["kind"], f"{found['group']}/{found['version']}", self.schema(spec))

    def schema(self, name):
        """The schema of a type."""
        if name in self.PLAIN:
            return {"type": self.PLAIN[name]}
        if name in self.types:
            kind, body = self.types[name]
            return self.object(body) if kind == "struct" else self.choice(body)
        generic = re.fullmatch(r"(Option|Vec|BTreeMap)<\s*(?:String,\s*)?(.*?),?\s*>", name, re.DOTALL)
        if not generic:
            raise SystemExit(f"{name} is no type of this module")
        inner = self.schema(generic[2])
        if generic[1] == "Vec":
            return {"type": "array", "items": inner}
        if generic[1] == "BTreeMap":
            return {"type": "object", "additionalProperties": inner}
        return inner

    def object(self, body):
        """The schema of a struct."""
        properties, required = {}, []
        for attributes, field, kind in self.FIELD.findall(body):
            name = renamed(attributes) or field
            properties[name] = self.schema(kind)
            if not kind.startswith("Option<"):
                required.append(name)
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}

    def choice(self, body):
        """The schema of an enum."""
        words = [renamed(attributes) or name for attributes, name in self.VARIANT.findall(body)]
        return {"type": "string", "enum": words}


def renamed(attributes):
    """The name in an object, where an attribute of serde says another than the program's."""
    found = re.search(r'rename = "([^"]*)"', attributes)
    return found and found[1]


def alternatives(schemas):
    """An object of which exactly one of several fields may be given: oneOf in the definition, a class for each here."""
    if not all("properties" in schema for schema in schemas):
        return ANYTHING
    properties, needed = {}, []
    for schema in schemas:
        properties = {**schema["properties"], **properties}
        needed.append(set(schema.get("required", [])))
    common = set.intersection(*needed)
    one_of = [{"required": sorted(fields - common)} for fields in needed if fields - common]
    if len(one_of) < len(schemas):
        one_of.append({"not": {"anyOf": list(one_of)}})
    schema = {"type": "object", "properties": properties, "oneOf": one_of}
    return {**schema, "required": sorted(common)} if common else schema


def annotations(node):
    """The fields of a class."""
    return [field for field in node.body if isinstance(field, ast.AnnAssign)]


def alias(node):
    """The name of a field in an object, where it differs from that in the class."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
        for call in node.slice.elts[1:]:
            for word in call.keywords:
                if word.arg == "alias":
                    return ast.literal_eval(word.value)
    return None


def word(node):
    """The only word that a field may have."""
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and ast.unparse(part.value) == "Literal":
            return ast.literal_eval(part.slice)
    raise SystemExit(f"no Literal in {ast.unparse(node)}")


def definition(kind, api_version, spec):
    """The CustomResourceDefinition of a kind."""
    group, version = api_version.split("/")
    plural = kind.lower() + "s"
    schema = {"type": "object", "properties": {"spec": spec}, "required": ["spec"]}
    metadata = {"name": f"{plural}.{group}"}
    if group.endswith(".k8s.io"):
        # A group of Kubernetes needs the approval that the definition has upstream.
        metadata["annotations"] = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


for path in sys.argv[1:]:
    module = RustModule(path) if path.endswith(".rs") else PythonModule(path)
    for found in module.definitions():
        print(json.dumps(found))
