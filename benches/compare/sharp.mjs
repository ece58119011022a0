// sharp, as a careful backend calls it: node sharp.mjs COUNT MAX QUALITY FILE
import { readFile } from "node:fs/promises";
import sharp from "sharp";

sharp.concurrency(1);
sharp.cache(false);

const [count, max, quality, file] = process.argv.slice(2);
for (let made = 0; made < Number(count); made += 1) {
  const jpeg = await sharp(await readFile(file), { limitInputPixels: 100_000_000 })
    .rotate()
    .resize(Number(max), Number(max), { fit: "inside", withoutEnlargement: true })
    .flatten({ background: "white" })
    .toColourspace("srgb")
    .jpeg({ quality: Number(quality), optimiseCoding: true })
    .toBuffer();
  if (jpeg.length === 0) throw new Error("nothing came out");
  if (made === 0) console.log(jpeg.length);
}
