"""Pushes what is no job, and what is one, into the queue of uploads; prints what should become of each, by its id.

    python3 garbage.py HOST:PORT ROUNDS PAYLOAD
"""

import json
import socket
import sys
import uuid

address, rounds, good = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
host, port = address.split(":")
redis = socket.create_connection((host, int(port)))
answers = redis.makefile("rb")
expected = {}


def call(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    redis.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    answer = answers.readline()
    assert answer[:1] in b"+:*", answer
    for _ in range(int(answer[1:]) if answer[:1] == b"*" else 0):
        answers.readline()


def push(payload, becomes):
    job = str(uuid.uuid4())
    expected[job] = becomes
    call("MULTI")
    call("HSET", "{darkroom}:upload:data", job, payload)
    call("ZADD", "{darkroom}:upload:scheduled", 0, job)
    call("EXEC")


def upload(**changes):
    return {**good, "image_id": str(uuid.uuid4()), **changes}


def pushed_without(field):
    job = upload()
    del job[field]
    push(json.dumps(job), "job_malformed")


for _ in range(rounds):
    for junk in [b"", b"\xff\xfe\x00", b"{", b"[]", b"null", b"7", b'"job"', b"{}", b"NaN", b"[" * 100_000,
                 b'{"user_id": 1e999}', b"\x00" * 1000, b"<xml/>", b"user_id=1"]:
        push(junk, "job_malformed")
    for field in ["user_id", "image_id", "source"]:
        pushed_without(field)
    for wrong in [dict(user_id=[1]), dict(user_id=None), dict(user_id=1.5), dict(source=7), dict(source={"type": "ftp"}),
                  dict(source={"type": "inline"}), dict(expires_at="tomorrow"), dict(v="1"), dict(context={"a": "x" * 5000})]:
        push(json.dumps(upload(**wrong)), "job_malformed")
    for wrong in [dict(user_id="a/b"), dict(user_id=".."), dict(user_id=""), dict(user_id="x" * 129), dict(image_id="7"),
                  dict(image_id="../../etc/passwd"), dict(source={"type": "staged", "key": "products/1/x.jpg"}),
                  dict(source={"type": "staged", "key": "staging/../x"})]:
        push(json.dumps(upload(**wrong)), "id_invalid")
    push(json.dumps(upload(padding="x" * (5 << 20))), "job_malformed")
    push(json.dumps(upload())[:-1] + ',"context":"\\ud800"}', "job_malformed")
    push(json.dumps(upload(source={"type": "inline", "base64": "%%%"})), "source_base64_invalid")
    push(json.dumps(upload(source={"type": "inline", "base64": "AAAA"})), "not_an_image")
    for right in [dict(), dict(user_id=42), dict(colour="red", nested={"a": [1, 2]}), dict(v=1),
                  dict(context={"row": 7})]:
        push(json.dumps(upload(**right)), "done")
    push(json.dumps(upload(), ensure_ascii=False, indent=4), "done")

print(json.dumps(expected))
