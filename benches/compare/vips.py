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
    # Without a profile there is nothing to convert, and libvips would convert all the same.
    has_profile = pyvips.Image.new_from_buffer(original, "").get_typeof("icc-profile-data") != 0
    profile = {"output_profile": "srgb"} if has_profile else {}
    image = pyvips.Image.thumbnail_buffer(original, side, height=side, size="down", **profile)
    if image.hasalpha():
        image = image.flatten(background=255)
    jpeg = image.jpegsave_buffer(Q=quality, optimize_coding=True, keep="none")
    if made == 0:
        print(len(jpeg))
