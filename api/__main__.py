"""`python -m api`: write the OpenAPI document, which docs/openapi.json holds."""

from __future__ import annotations

import json
import sys

from api.app import document

if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
