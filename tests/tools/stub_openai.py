"""Serve the part of the OpenAI API that load generators need, with known delays.

    python tests/tools/stub_openai.py --port 8123 --ttft 0.05 --gap 0.01

Answers stream as many words as `max_tokens` (or `max_completion_tokens`) says: the first after
`--ttft` seconds, the others `--gap` seconds apart. The usage block counts one prompt token a word.
With `--fail-every N` each Nth request gets a 500.
Used to make the samples in tests/data/tools; no test starts it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answer /v1/models, /health, /v1/completions and /v1/chat/completions."""

    protocol_version = "HTTP/1.1"
    ttft_s = 0.05
    gap_s = 0.01
    model = "stub"
    fail_every = 0
    count = itertools.count(1)

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            model = {"id": self.model, "object": "model", "created": 0, "owned_by": "stub"}
            self._send({"object": "list", "data": [model]})
        else:
            self._send({"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.fail_every and next(self.count) % self.fail_every == 0:
            self._send({"error": {"message": "the stub fails on purpose"}}, status=500)
            return
        chat = "chat" in self.path
        words = _words(body["messages"]) if chat else len(str(body["prompt"]).split())
        tokens = int(body.get("max_completion_tokens") or body.get("max_tokens") or 16)
        usage = {
            "prompt_tokens": words,
            "completion_tokens": tokens,
            "total_tokens": words + tokens,
            "prompt_tokens_details": {"cached_tokens": words // 2},
        }
        head = {"id": "stub-1", "created": int(time.time()), "model": self.model}
        head["object"] = "chat.completion.chunk" if chat else "text_completion"
        if not body.get("stream"):
            time.sleep(self.ttft_s + self.gap_s * (tokens - 1))
            self._send(
                {**head, "choices": [_choice("hi " * tokens, chat, last=True)], "usage": usage}
            )
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for index in range(tokens):
            time.sleep(self.gap_s if index else self.ttft_s)
            self._event({**head, "choices": [_choice("hi ", chat, last=index == tokens - 1)]})
        self._event({**head, "choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, content: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(content).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, content: dict[str, Any], *, status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


def _choice(text: str, chat: bool, *, last: bool) -> dict[str, Any]:
    reason = "length" if last else None
    if chat:
        return {
            "index": 0,
            "delta": {"role": "assistant", "content": text},
            "finish_reason": reason,
        }
    return {"index": 0, "text": text, "finish_reason": reason}


def _words(messages: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(message.get("content", "")).split()) for message in messages)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--ttft", type=float, default=0.05)
    parser.add_argument("--gap", type=float, default=0.01)
    parser.add_argument("--fail-every", type=int, default=0)
    args = parser.parse_args()
    Handler.fail_every = args.fail_every
    Handler.ttft_s, Handler.gap_s = args.ttft, args.gap
    ThreadingHTTPServer(("127.0.0.1", args.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
