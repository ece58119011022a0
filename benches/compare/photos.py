"""Makes other formats and sizes of one photo: photos.py PHOTO.heic FOLDER

A telephone's photo of 12 MP comes out as the JPEGs, PNG and WebP that shops and telephones send. What is there stays.
"""

import sys
from pathlib import Path

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
source, folder = Path(sys.argv[1]), Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)


def scaled(image, megapixels):
    factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def save(name, make, **options):
    if not (folder / name).exists():
        make().save(folder / name, **options)


photo = Image.open(source)
profile = photo.info.get("icc_profile")
photo = photo.convert("RGB")
turned = Image.Exif()
turned[0x0112] = 6

save("12mp.jpg", lambda: photo, quality=90)
save("12mp-turned.jpg", lambda: photo, quality=90, exif=turned)
save("12mp-profile.jpg", lambda: photo, quality=90, icc_profile=profile)
save("12mp-444.jpg", lambda: photo, quality=95, subsampling=0)
save("12mp-progressive.jpg", lambda: photo, quality=90, progressive=True)
save("5mp.jpg", lambda: scaled(photo, 5), quality=85)
save("2mp.jpg", lambda: scaled(photo, 2), quality=85)
save("24mp.jpg", lambda: scaled(photo, 24), quality=88)
save("48mp.jpg", lambda: scaled(photo, 48), quality=85)
save("48mp-progressive.jpg", lambda: scaled(photo, 48), quality=85, progressive=True)
save("4mp.png", lambda: scaled(photo, 4), compress_level=6)
save("12mp.png", lambda: photo, compress_level=6)
save("6mp.webp", lambda: scaled(photo, 6), quality=82)
save("6mp-lossless.webp", lambda: scaled(photo, 6), lossless=True, quality=50)
