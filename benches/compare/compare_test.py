"""What `--markdown` writes; run before every comparison."""

import tempfile
import unittest
from pathlib import Path

from compare import means_table, table, write

NAMES = ["darkroom", "sharp"]
RESULTS = {
    "a.jpg": {"darkroom": [0.010, 20e6, 100e3], "sharp": [0.040, 90e6, 101e3]},
    "b.jpg": {"darkroom": [0.010, 20e6, 100e3], "sharp": [0.010, 90e6, 101e3]},
    "c.heic": {"darkroom": [0.100, 60e6, 200e3]},
}


class Markdown(unittest.TestCase):
    def written(self, text):
        with tempfile.TemporaryDirectory() as folder:
            document = Path(folder) / "doc.md"
            document.write_text(text)
            write(document, {"photos": table(RESULTS, NAMES), "means": means_table(RESULTS, NAMES)})
            return document.read_text()

    def test_tables_stand_in_their_places_and_nothing_else_changes(self):
        written = self.written(
            "before\n<!-- compare: photos -->\nold\n<!-- /compare -->\nbetween\n<!-- compare: means -->\n<!-- /compare -->\nafter\n"
        )

        self.assertNotIn("old", written)
        self.assertTrue(written.startswith("before\n<!-- compare: photos -->\n| photo | darkroom | sharp |"), written)
        self.assertIn("| a.jpg | 10 ms | 0.25 × of 40 ms | 20 · 90 | 100 |\n", written)
        self.assertIn("|\n<!-- /compare -->\nbetween\n<!-- compare: means -->\n| photos | of sharp |", written)
        self.assertIn("| JPEG, 2 | 0.50 × |\n| HEIC, 1 | – |\n| all, 3 | 0.50 × |\n<!-- /compare -->\nafter\n", written)

    def test_what_is_written_is_written_over_the_next_time(self):
        once = self.written("<!-- compare: means -->\n<!-- /compare -->\n")

        self.assertEqual(self.written(once), once)

    def test_a_document_without_a_place_is_refused(self):
        with self.assertRaisesRegex(ValueError, "no place for a table"):
            self.written("nothing\n")


if __name__ == "__main__":
    unittest.main()
