"""The filter grammar that SCIM and Okta share: attr op value, pr, and / or / not, ( ), attr[...]."""
import json
import re

from store import parse_time

TOKEN = re.compile(r'\s*(?:([()\[\]])|("(?:[^"\\]|\\.)*")|([^\s()\[\]"]+))')
OPS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")


class Syntax(Exception):
    pass


class Compare:
    def __init__(self, path, op, value):
        self.path, self.op, self.value = path, op, value

    def __call__(self, obj):
        found = [v for v in look_up(obj, self.path) if v is not None]
        if self.op == "pr":
            return any(v not in ("", [], {}) for v in found)
        if self.op == "ne":
            return not any(compare(v, "eq", self.value) for v in found)
        return any(compare(v, self.op, self.value) for v in found)


class Inside:
    """emails[type eq "work" and value co "x"]: one element meets all of it."""
    def __init__(self, path, inner):
        self.path, self.inner = path, inner

    def __call__(self, obj):
        return any(isinstance(v, dict) and self.inner(v) for v in look_up(obj, self.path))


class Logic:
    def __init__(self, op, parts):
        self.op, self.parts = op, parts

    def __call__(self, obj):
        if self.op == "not":
            return not self.parts[0](obj)
        return (all if self.op == "and" else any)(p(obj) for p in self.parts)


def look_up(obj, path):
    """The values at a dotted path; names are case-insensitive, lists are gone through."""
    at = [obj]
    for key in path if isinstance(path, (list, tuple)) else split(path):
        out = []
        for o in at:
            for e in o if isinstance(o, list) else [o]:
                if isinstance(e, dict):
                    out += [v for k, v in e.items() if k.lower() == key.lower()]
        at = out
    flat = []
    for v in at:
        flat += v if isinstance(v, list) else [v]
    return [v.get("value", v) if isinstance(v, dict) and "value" in v and "type" in v and path_is_plain(path) else v
            for v in flat]


def path_is_plain(path):
    return isinstance(path, str) and "." not in path and not path.endswith("[")


def split(path):
    if path.startswith("urn:"):
        urn, _, rest = path.rpartition(":")
        return [urn] + rest.split(".")
    return path.rstrip("[").split(".")


def compare(have, op, want):
    if isinstance(have, str) and isinstance(want, str):
        if op in ("gt", "ge", "lt", "le", "eq"):
            a, b = parse_time(have), parse_time(want)
            if a is not None and b is not None and "-" in want:
                have, want = a, b
        if isinstance(have, str):
            have, want = have.lower(), want.lower()
    elif isinstance(have, bool) != isinstance(want, bool) or isinstance(have, str) != isinstance(want, str):
        return False
    try:
        return {"eq": lambda: have == want, "co": lambda: want in have, "sw": lambda: have.startswith(want),
                "ew": lambda: have.endswith(want), "gt": lambda: have > want, "ge": lambda: have >= want,
                "lt": lambda: have < want, "le": lambda: have <= want}[op]()
    except (TypeError, AttributeError):
        return False


def parse(text, check=lambda path, op: None):
    """A test over a rendered object. check(path, op) may refuse what a server does not support."""
    toks, pos = [], 0
    while text[pos:].strip():
        m = TOKEN.match(text, pos)
        if not m:
            raise Syntax("cannot read: " + text[pos:pos + 40])
        toks.append(m.group(m.lastindex))
        pos = m.end()
    at = [0]

    def peek():
        return toks[at[0]] if at[0] < len(toks) else None

    def word():
        return (peek() or "").lower()

    def take():
        t = peek()
        if t is None:
            raise Syntax("the filter ends too early")
        at[0] += 1
        return t

    def chain(op, inner):
        parts = [inner()]
        while word() == op:
            take()
            parts.append(inner())
        return parts[0] if len(parts) == 1 else Logic(op, parts)

    def either():
        return chain("or", lambda: chain("and", single))

    def single():
        if word() == "not":
            take()
            return Logic("not", [single()])
        if peek() == "(":
            take()
            inner = either()
            if take() != ")":
                raise Syntax("missing )")
            return inner
        path = take()
        if not re.match(r"[A-Za-z]", path):
            raise Syntax("an attribute is missing before " + path)
        if peek() == "[":
            take()
            check(path, "[")
            inner = either()
            if take() != "]":
                raise Syntax("missing ]")
            return Inside(path + "[", inner)
        op = take().lower()
        if op == "pr":
            check(path, op)
            return Compare(path, op, None)
        if op not in OPS:
            raise Syntax("no such operator: " + op)
        check(path, op)
        try:
            value = json.loads(take())
        except ValueError:
            raise Syntax("a value must be JSON") from None
        return Compare(path, op, value)
    out = either()
    if peek() is not None:
        raise Syntax("not understood: " + peek())
    return out


def single_range(test, path):
    """(op, value) if the whole filter is one comparison of that attribute, else None."""
    if type(test) is Compare and test.path.lower() == path.lower():
        return test.op, test.value
    return None
