"""Prints the upstream definitions of the third-party kinds that are used here, one JSON document a line.

usage: upstream-definitions.py MODULE.py…

The modules come from wheels that are generated from the upstream definitions, one class for each object of a schema.
They are read as text and never run: this needs Python's standard library alone.
"""

import ast
import json
import sys

PLAIN = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
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
# An object whose fields nobody lists, and alternatives (oneOf), which are not looked into.
ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


class Module:
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
        if name == "Union" and sorted(map(ast.unparse, parts)) == ["int", "str"]:
            return {"x-kubernetes-int-or-string": True}
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
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
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
    for found in Module(path).definitions():
        print(json.dumps(found))
