"""Prints the photos of a corpus that are to be taken and have 2 to 50 MP, a line each: large.py FOLDER (with expected.json)"""

import json
import sys
from pathlib import Path

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
folder = Path(sys.argv[1])
for case in json.loads((folder / "expected.json").read_text()):
    path = folder / case["name"]
    if case["verdict"] != "ok" or path.stat().st_size < 100_000:
        continue
    with Image.open(path) as image:
        if 2e6 <= image.width * image.height <= 50e6:
            print(path)
