#!/usr/bin/env python3
# examples: the handshakes with keys that docs/protocol.md shows, by the arithmetic of the peers on Twisted.
#
#     examples.py DOCUMENT

import re
import sys

try:
    from twisted.protocols import amp
except ImportError:
    sys.exit(77)  # to Meson: skipped

from remsh_amp import Key, body, transcript


def shown(block):
    """The bytes of each thing in a block: `B`, `prove`; what is indented is of the box above it: `prove T1`."""
    values, box, label = {}, None, None
    for line in block.splitlines():
        begin = re.match(r"(  )?([\w()]+(?: key)?)  +", line)
        if begin:
            box = box if begin[1] else begin[2]
            label = f"{box} {begin[2]}" if begin[1] else box
            line = line[begin.end() :]
        values[label] = values.get(label, "") + re.sub(r"\(.*\)", "", line)
    return {label: bytes.fromhex(value) for label, value in values.items()}


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what} comes out as {got.hex()}, and the document has {wanted.hex()}")
    print("ok  ", what)


with open(sys.argv[1], encoding="utf-8") as file:
    blocks = re.search(r"With a key, under TLS:\n\n```\n(.*?)```\n(.*?)```\n(.*?)```", file.read(), re.DOTALL)
example, invitation = shown(blocks[1]), shown(blocks[3])


def proofs(key, boxes, shows):
    """Checks both, and gives T2."""
    bodies = [body(amp.parseString(box)[0]) for box in boxes]
    check("body of welcome", bodies[3], shows["welcome body"])
    t1, t2 = transcript(example["B"], bodies[:3]), transcript(example["B"], bodies)
    check("T1", t1, shows.get("prove T1", t1))
    check("T2", t2, shows["welcome T2"])
    check("mac of prove", key.mac(b"slave", t1), amp.parseString(boxes[2])[0][b"mac"])
    check("mac of welcome", key.mac(b"master", t2), amp.parseString(boxes[3])[0][b"mac"])
    return t2


key = Key(example["K"])
check("kid", bytes.fromhex(key.kid.decode()), example["kid"])
for use in ("slave", "master", "tls"):
    check(f"k({use})", key.derive(use.encode()), example[f"k({use})"])
proofs(key, [example[label] for label in ("hello", "challenge", "prove", "welcome")], example)

key = Key(bytes(range(0x80, 0xA0)))
check("kid of the invitation", bytes.fromhex(key.kid.decode()), bytes.fromhex(re.search(r"kid `(\w+)`", blocks[2])[1]))
hello = amp.parseString(example["hello"])[0]
hello[b"kid"] = key.kid
t2 = proofs(key, [hello.serialize(), example["challenge"], invitation["prove"], invitation["welcome"]], invitation)
check("k(enrol)", key.derive(b"enrol"), invitation["k(enrol)"])
check("new key", key.mac(b"enrol", t2), invitation["new key"])
