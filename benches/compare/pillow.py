"""Pillow, as its documentation has it: pillow.py COUNT MAX QUALITY FILE"""

import io
import sys

from PIL import Image, ImageCms, ImageOps

Image.MAX_IMAGE_PIXELS = 100_000_000
if sys.argv[4].endswith((".heic", ".heif")):
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener()

count, side, quality, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
SRGB = ImageCms.createProfile("sRGB")
for made in range(count):
    with open(path, "rb") as file:
        image = Image.open(io.BytesIO(file.read()))
    image.draft("RGB", (side, side))
    image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if image.mode in ("RGBA", "LA", "PA"):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("RGB")
    if profile:
        image = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), SRGB)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=quality, optimize=True)
    if made == 0:
        print(jpeg.tell())
