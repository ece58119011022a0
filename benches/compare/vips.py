"""libvips with its own best advice, shrink-on-load: vips.py COUNT MAX QUALITY FILE"""

import os
import sys

os.environ["VIPS_CONCURRENCY"] = "1"
import pyvips  # noqa: E402  (reads the variable when it is loaded)

pyvips.cache_set_max(0)
count, side, quality, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
for made in range(count):
    with open(path, "rb") as file:
        original = file.read()
    image = pyvips.Image.thumbnail_buffer(original, side, height=side, size="down", output_profile="srgb")
    if image.hasalpha():
        image = image.flatten(background=255)
    jpeg = image.jpegsave_buffer(Q=quality, optimize_coding=True, keep="none")
    if made == 0:
        print(len(jpeg))
