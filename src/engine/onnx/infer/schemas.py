"""Writes schemas.txt: which element types each operator of docs/operators.md takes and gives.

From the schemas of the onnx package, and of ONNX Runtime for the domain com.microsoft. Run it with both installed:
`python schemas.py ../../../../docs/operators.md > schemas.txt`. A line is

    domain op since: inputs -> outputs; variable=types ...

An input or output is the name of a type variable or of a type, with `?` where it may be left out, `*` after the last
one where it may be repeated with one type, and `~` where each of them may be of a type of its own. A variable's types are all that any version of
the operator takes, by their short names; a variable without types may be a sequence or an optional too.
"""
import re
import sys

import onnx.defs
from onnxruntime.capi import _pybind_state as runtime

SHORT = {
    "float": "f32", "double": "f64", "float16": "f16", "bfloat16": "bf16", "string": "str", "bool": "bool",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "uint16": "u16", "uint32": "u32",
    "uint64": "u64", "int4": "i4", "uint4": "u4", "int2": "i2", "uint2": "u2", "float4e2m1": "f4e2m1",
    "float8e4m3fn": "f8e4m3fn", "float8e4m3fnuz": "f8e4m3fnuz", "float8e5m2": "f8e5m2",
    "float8e5m2fnuz": "f8e5m2fnuz", "float8e8m0": "f8e8m0",
}


def wanted(page):
    for line in open(page):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[2].isdigit():
            yield ("" if cells[1] == "ai.onnx" else cells[1], cells[0])


def tensor(type_str):
    found = re.fullmatch(r"tensor\((\w+)\)", type_str)
    return SHORT.get(found.group(1)) if found else None


def allowed(schema):
    """By type variable: its element types; nothing where it may be other than a tensor."""
    constraints = {}
    for c in schema.type_constraints:
        # rserve has no complex tensors.
        types = [t for t in c.allowed_type_strs if not t.startswith("tensor(complex")]
        types = [tensor(t) for t in types]
        constraints[c.type_param_str] = None if None in types else set(types)
    return constraints


def ports(formal, constraints, names):
    for port in formal:
        # The two packages spell the attributes differently.
        type_str = getattr(port, "type_str", None) or port.typeStr
        option = str(port.option).split(".")[-1].lower()
        one = tensor(type_str)
        types = {one} if one else constraints.get(type_str)
        if types and len(types) == 1 and len(names.get(type_str, types)) == 1:
            text = next(iter(types))
        else:
            text = type_str
        if "variadic" in option:
            homogeneous = getattr(port, "is_homogeneous", getattr(port, "isHomogeneous", True))
            text += "*" if homogeneous else "~"
        elif "optional" in option:
            text += "?"
        yield text


def main(page):
    schemas = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        schemas.setdefault((schema.domain, schema.name), []).append(schema)
    for schema in runtime.get_all_operator_schema():
        if schema.domain == "com.microsoft":
            schemas.setdefault((schema.domain, schema.name), []).append(schema)
    for key in sorted(wanted(page)):
        versions = sorted((s for s in schemas.get(key, []) if not s.deprecated), key=lambda s: s.since_version)
        # From opset 7 on, what any version takes.
        versions = [s for i, s in enumerate(versions)
                    if key[0] or i + 1 == len(versions) or versions[i + 1].since_version > 7]
        union = {}
        for schema in versions:
            for name, types in allowed(schema).items():
                known = union.setdefault(name, set())
                union[name] = None if types is None or known is None else known | types
        last = None
        for schema in versions:
            names = {name: types for name, types in union.items() if types is not None}
            constraints = {name: names.get(name) for name in allowed(schema)}
            given = list(ports(schema.inputs, constraints, names)), list(ports(schema.outputs, constraints, names))
            used = {p.rstrip("?*~") for p in given[0] + given[1]}
            variables = " ".join(f"{name}={','.join(sorted(types))}" for name, types in sorted(names.items())
                                 if name in used and len(types) > 1)
            body = f"{' '.join(given[0])} -> {' '.join(given[1])}; {variables}".rstrip("; ").strip()
            if body != last:
                print(f"{key[0] or 'ai.onnx'} {key[1]} {schema.since_version}: {body}")
            last = body


main(sys.argv[1])
