"""``synap_cli_od`` of the lab: the vendor's options and output; JSON only where the output is no terminal."""

from __future__ import annotations

import json
import os
import sys

if __package__:
    from mpsearch.testing.lab.cli import ask, misbehave
else:  # started as a file, with its folder as the only path, which is fast
    from cli import ask, misbehave  # type: ignore[import-not-found, no-redef]

_VALUES = {"-m", "--nb", "--meta", "--score-threshold", "--max-detections", "--iou-threshold"}
_FLAGS = {"--disable-nms", "--iou-with-min", "--help"}


def main(words: list[str]) -> int:
    options: dict[str, str] = {}
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word not in _VALUES | _FLAGS or (word in _VALUES and not words):
            print(f"Illegal option(s): {word}", file=sys.stderr)
            return 1
        options[word] = words.pop(0) if word in _VALUES else "yes"
    model = options.get("-m", "model.synap")
    for image in words:
        request = {
            "detect": True,
            "model": os.path.abspath(model),
            "inputs": [os.path.abspath(image)],
            "threshold": float(options.get("--score-threshold", "0.5")),
        }
        answer = ask(request)
        if (fault := answer.get("fault")) is not None:
            code: int | None = misbehave(fault)
            if code is not None:
                return code
            answer = ask(request)
        if "error" in answer:
            print(answer["error"], file=sys.stderr)
            return 1
        height, width = answer["size"]
        print(f"Input image: {image} (w = {width}, h = {height}, c = 3)")
        print(f"Detection time: {answer['time']:.2f} ms (pre:17802, inf:{answer['time'] * 1000:.0f}, post:374)")
        if sys.stdout.isatty():
            for item in answer["items"]:
                print(item["confidence"], item["bounding_box"])
        else:
            print(json.dumps({"items": answer["items"], "success": True}, indent=2, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
