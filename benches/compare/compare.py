"""CPU and peak memory of one photo, darkroom beside sharp, libvips and Pillow, in one interleaved run.

Every program makes COUNT pictures of a photo in one process, once with COUNT 1 and once with 1 + N: the difference, divided by N, is the CPU
of a photo without any start. The kernel's account of the ended process counts, that of its own children included. Peak memory is that of the
largest process of the run with one picture. Each figure is the median of all rounds.

With --markdown FILE the tables are written into a document, between `<!-- compare: photos -->` (a row for each photo) or
`<!-- compare: means -->` (a row for each format) and the next `<!-- /compare -->`; above the first the call, the machine and the versions.

Exit 0: all was measured; 1: a program failed on a photo that the others took (its row says so), or a document has no place for a table.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

# What a process takes differs by more than that from run to run: a smaller photo cannot be told from none.
LEAST_SECONDS = 1e-4


class Program:
    def __init__(self, name, command):
        self.name, self.command = name, command

    def measure(self, photo, count, args, work):
        """CPU seconds, peak bytes and size of the JPEG, or None where the photo is refused."""
        process = subprocess.Popen(
            self.command(photo, count, args, work), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=HERE
        )
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            return None
        first = printed.split(b"\n")[0]
        size = json.loads(first)["object"]["size"] if first.startswith(b"{") else int(first)
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, size


def darkroom(binary):
    def command(photo, count, args, work):
        # The same photo under as many names: one process makes them one after the other.
        names = [work / f"{number}{photo.suffix}" for number in range(count)]
        for name in names:
            if name.is_symlink():
                name.unlink()
            name.symlink_to(photo)
        folder = work / "out"
        folder.mkdir(exist_ok=True)
        out = folder if count > 1 else folder / "0.jpg"
        sizes = ["--max-dimension", str(args.max), "--quality", str(args.quality)]
        return [binary, "normalize", *map(str, names), "-o", str(out), *sizes]

    return command


def script(*interpreter):
    def command(photo, count, args, _work):
        return [*interpreter, str(count), str(args.max), str(args.quality), str(photo)]

    return command


def measure(photo, programs, args, work):
    """For each program its rounds of (CPU seconds a photo, peak bytes, bytes out); absent where it refused."""
    rounds = {program.name: [] for program in programs}
    refused = set()
    for _ in range(args.rounds):
        for program in programs:
            if program.name in refused:
                continue
            one = program.measure(photo, 1, args, work)
            many = one and program.measure(photo, 1 + args.count, args, work)
            if not many:
                refused.add(program.name)
                continue
            cpu = max((many[0] - one[0]) / args.count, LEAST_SECONDS)
            rounds[program.name].append((cpu, one[1], one[2]))
    taken = {name: seen for name, seen in rounds.items() if name not in refused}
    return {name: [statistics.median(column) for column in zip(*seen)] for name, seen in taken.items()}


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def table(results, names):
    others = [name for name in names if name != "darkroom"]
    lines = [
        "| photo | darkroom | " + " | ".join(others) + " | peak MB: " + " · ".join(names) + " | kB out |",
        "|---|" + "---|" * (len(others) + 3),
    ]
    for photo, seen in results.items():
        ours = seen.get("darkroom")
        cells = [photo, f"{ours[0] * 1e3:.0f} ms" if ours else "refused"]
        cells += [ratio(seen, name) for name in others]
        cells.append(" · ".join(f"{seen[name][1] / 1e6:.0f}" if name in seen else "–" for name in names))
        cells.append(f"{ours[2] / 1e3:.0f}" if ours else "–")
        lines.append("| " + " | ".join(cells) + " |")
    for which, group in groups(results).items():
        means = [mean(group, name) for name in others]
        lines.append(f"| **geometric mean, {which}** | | " + " | ".join(f"**{mean}**" for mean in means) + " | | |")
    return "\n".join(lines)


def means_table(results, names):
    others = [name for name in names if name != "darkroom"]
    lines = ["| photos | " + " | ".join(f"of {name}" for name in others) + " |", "|---|" + "---|" * len(others)]
    for which, group in groups(results).items():
        means = [mean(group, name) for name in others]
        lines.append(f"| {which}, {len(group)} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def groups(results):
    """The photos of each format, and all where there are several."""
    kinds = dict.fromkeys(kind(photo) for photo in results)
    found = {which: {photo: seen for photo, seen in results.items() if kind(photo) == which} for which in kinds}
    return {**found, "all": results} if len(found) > 1 else found


KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WebP", "heic": "HEIC", "heif": "HEIC", "avif": "AVIF"}


def kind(photo):
    return KINDS.get(Path(photo).suffix.lower().removeprefix("."), "others")


def mean(group, name):
    both = ratios(group, name)
    return f"{geometric_mean(both):.2f} ×" if both else "–"


def ratio(seen, name):
    if name not in seen or "darkroom" not in seen:
        return "–"
    return f"{seen['darkroom'][0] / seen[name][0]:.2f} × of {seen[name][0] * 1e3:.0f} ms"


def ratios(results, name):
    both = [seen for seen in results.values() if name in seen and "darkroom" in seen]
    return [seen["darkroom"][0] / seen[name][0] for seen in both]


def source(args):
    """How the figures came about, in a line for a reader."""
    lock = json.loads((HERE / "package-lock.json").read_text())
    versions = {
        "sharp": lock["packages"]["node_modules/sharp"]["version"],
        "pyvips": importlib.metadata.version("pyvips"),
        "libvips": importlib.metadata.version("pyvips-binary"),
        "Pillow": importlib.metadata.version("Pillow"),
    }
    options = [f"--rounds {args.rounds}", f"--count {args.count}"]
    if args.max != 2048 or args.quality != 82:
        options += [f"--max {args.max}", f"--quality {args.quality}"]
    call = shlex.quote(" ".join(options)).replace("'", '"')
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    day = datetime.date.today().isoformat()
    return f"`make compare ARGS={call}`, {day}, {os.cpu_count()} × {processor()}, {told}:"


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def write(document, tables):
    """Puts the tables into their places in a document; ValueError when it has none."""
    text, places = document.read_text(), 0
    for name, rows in tables.items():
        place = re.compile(rf"(<!-- compare: {name} -->\n).*?(<!-- /compare -->)", re.DOTALL)
        text, found = place.subn(lambda match: f"{match[1]}{rows}\n{match[2]}", text)
        places += found
    if not places:
        raise ValueError(f"{document} has no place for a table: <!-- compare: photos --> or <!-- compare: means -->")
    document.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, help="photos to measure")
    parser.add_argument("--darkroom", required=True, help="an optimized binary of darkroom")
    parser.add_argument("--node", required=True, help="folder with sharp in node_modules")
    parser.add_argument("--max", type=int, default=2048, help="longest side, px")
    parser.add_argument("--quality", type=int, default=82)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=5, help="pictures a process makes after its first")
    parser.add_argument("--json", action="store_true", help="print figures, not a table")
    parser.add_argument(
        "--markdown", action="append", type=Path, default=[], metavar="FILE", help="write the tables into this document, too"
    )
    args = parser.parse_args()

    programs = [
        Program("darkroom", darkroom(args.darkroom)),
        Program("sharp", script("node", str(Path(args.node) / "sharp.mjs"))),
        Program("libvips", script(sys.executable, str(HERE / "vips.py"))),
        Program("Pillow", script(sys.executable, str(HERE / "pillow.py"))),
    ]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, photo in enumerate(args.photos, 1):
            if sys.stderr.isatty():
                print(f"\r\x1b[K{number}/{len(args.photos)} {photo.name}", end="", file=sys.stderr)
            results[photo.name] = measure(photo.resolve(), programs, args, Path(folder))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)

    names = [program.name for program in programs]
    print(json.dumps(results) if args.json else table(results, names))
    for document in args.markdown:
        photos = f"{source(args)}\n\n{table(results, names)}"
        try:
            write(document, {"photos": photos, "means": means_table(results, names)})
        except (OSError, ValueError) as error:
            print(f"compare: {error}", file=sys.stderr)
            return 1
    return 0 if all("darkroom" in seen for seen in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
