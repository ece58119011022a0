"""Reads originals and what darkroom made of them with other decoders: Pillow, libavif, libheif.

    second_opinion.py FOLDER

For each NAME in FOLDER that has a NAME.out.jpg beside it, prints NAME, the sides of the JPEG, its mode, how many bytes
of metadata Pillow finds in it, and the mean difference from the original as Pillow shows it on white, in levels.
"""
import io
import pathlib
import sys

import pillow_heif
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat

pillow_heif.register_heif_opener()


def shown(path):
    picture = Image.open(path)
    profile = picture.info.get("icc_profile")
    if path.suffix != ".heic":
        # Of an AVIF, Pillow tells its boxes as EXIF.
        picture = ImageOps.exif_transpose(picture)
    if "A" in picture.getbands():
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    if profile and path.suffix == ".heic":
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        picture = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"))
    return picture


def main():
    for out in sorted(pathlib.Path(sys.argv[1]).glob("*.out.jpg")):
        original = out.with_name(out.name.removesuffix(".out.jpg"))
        made = Image.open(out)
        made.load()
        metadata = sum(len(made.info.get(key, b"")) for key in ("exif", "xmp", "comment", "photoshop", "mp"))
        left, right = shown(original), made.convert("RGB")
        mean = -1.0 if left.size != right.size else sum(ImageStat.Stat(ImageChops.difference(left, right)).mean) / 3
        print(original.name, *made.size, made.mode, metadata, f"{mean:.2f}")


main()
