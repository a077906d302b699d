"""Checks each vector with the checker of the page, with and without --part, and prints a list of what it says."""
import io, json, sys

import audit_checker

with open(sys.argv[1], encoding="utf-8") as file:
    vectors = json.load(file)
said = []
for case in vectors["cases"]:
    text = b"".join(vectors["lines"][line].encode() + b"\n" for line in case["lines"])
    said.append([audit_checker.check(io.BytesIO(text), part) for part in (False, True)])
json.dump(said, sys.stdout)
